/*
 * memfill MIB ROUNDS [SEED [PAUSE_MS]]: fills memory with a pattern, then verifies all of it and rewrites an eighth, round by round.
 * A wrong word ends it with status 1 and says where. With PAUSE_MS -1 each round waits for a byte on stdin.
 */
#include "common.h"
#include <sys/mman.h>

#define PAGE 4096ul
#define WORDS (PAGE / sizeof(uint64_t))

static void fill(uint64_t *page, uint64_t key) {
    for (size_t i = 0; i < WORDS; i++) page[i] = mix(key + i);
}

static int verify(const uint64_t *page, uint64_t key) {
    for (size_t i = 0; i < WORDS; i++) {
        if (page[i] != mix(key + i)) {
            dprintf(2, "memfill: page %p word %zu: %016llx, want %016llx\n", (void *)page, i, (unsigned long long)page[i],
                    (unsigned long long)mix(key + i));
            return 0;
        }
    }
    return 1;
}

int main(int argc, char **argv) {
    if (argc < 3) usage("memfill MIB ROUNDS [SEED [PAUSE_MS]]");
    size_t pages = number(argc, argv, 1, 0) * 1024 * 1024 / PAGE;
    long rounds = number(argc, argv, 2, 0);
    uint64_t seed = mix(number(argc, argv, 3, 1));
    long pause_ms = number(argc, argv, 4, 0);

    uint64_t *memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    /* The round in which a page was last written: with the seed and its number it gives the page's pattern. */
    uint32_t *written = calloc(pages ? pages : 1, sizeof *written);
    CHECK(written != NULL);
#define KEY(p) (seed ^ mix((uint64_t)(p) << 32 | written[p]))

    for (size_t p = 0; p < pages; p++) fill(memory + p * WORDS, KEY(p));
    say("filled %zu pages", pages);
    for (long round = 1; round <= rounds; round++) {
        if (pause_ms > 0) sleep_ms(pause_ms);
        if (pause_ms < 0) {
            char go;
            CHECK(read_all(0, &go, 1) == 1);
        }
        for (size_t p = 0; p < pages; p++) {
            if (!verify(memory + p * WORDS, KEY(p))) return 1;
            if (mix(seed + p * 31 + round) % 8 == 0) {
                written[p] = round;
                fill(memory + p * WORDS, KEY(p));
            }
        }
        say("ok %ld", round);
    }
    uint64_t h = DIGEST_START;
    for (size_t p = 0; p < pages; p++) h = digest_u64(h, memory[p * WORDS]);
    say("digest %016llx", (unsigned long long)h);
    return 0;
}
