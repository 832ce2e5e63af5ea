/*
 * places ROUNDS: maps memory at addresses of its own choice, low ones and those between heap and libraries, as run-time systems do that
 * keep a map of their address space (valgrind, sanitizers): each place is taken, filled, checked, shrunk, moved and given back, round
 * after round. Prints `place ADDRESS` as it takes one, and a digest at the end; a wrong byte or a place that is not free ends it with
 * status 1.
 */
#include "common.h"
#include <sys/mman.h>

#define PAGE 4096ul
#define PAGES 600ul

/* Where valgrind loads a program, on both sides of what a program of fixed address has, and all over what only MAP_FIXED reaches. */
static const uintptr_t places[] = {
    0x20000,        0x108000,       0x10000000,     0x70000000,     0x1000000000,   0xc000000000,   0x02008fff7000,
    0x100000000000, 0x1ffffff00000, 0x200000000000, 0x240000000000, 0x200fffff0000, 0x201000000000, 0x400000000000,
};
#define PLACES (sizeof places / sizeof *places)

static void fill(uint64_t *at, size_t pages, uint64_t key) {
    for (size_t i = 0; i < pages * PAGE / 8; i += 64) at[i] = mix(key + i);
}
static uint64_t check(const uint64_t *at, size_t pages, uint64_t key) {
    uint64_t h = DIGEST_START;
    for (size_t i = 0; i < pages * PAGE / 8; i += 64) {
        CHECK(at[i] == mix(key + i));
        h = digest_u64(h, at[i]);
    }
    return h;
}

static void *take(uintptr_t at, size_t pages) {
    void *got = mmap((void *)at, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    CHECK(got == (void *)at);
    return got;
}

int main(int argc, char **argv) {
    if (argc < 2) usage("places ROUNDS");
    long rounds = number(argc, argv, 1, 0);
    uint64_t h = DIGEST_START;
    say("ready");
    for (long r = 0; r < rounds; r++) {
        for (size_t i = 0; i < PLACES; i++) {
            uint64_t key = r * 1000 + i;
            say("place %lx", places[i]);
            uint64_t *at = take(places[i], PAGES);
            fill(at, PAGES, key);
            dwell_ms(20);
            h = digest_u64(h, check(at, PAGES, key));
            /* One that is seen there by chance only: the kernel gives a free place that is asked for. */
            CHECK(munmap((char *)at + PAGES / 2 * PAGE, PAGES / 2 * PAGE) == 0);
            char *beside = (char *)at + PAGES / 2 * PAGE;
            CHECK(mmap(beside, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == beside && *beside == 0);
            CHECK(mprotect(at, PAGE, PROT_READ) == 0 && madvise(at, PAGE, MADV_WILLNEED) == 0);
            void *moved = mremap(at, PAGES / 2 * PAGE, PAGES / 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, beside + PAGE);
            CHECK(moved == beside + PAGE);
            dwell_ms(5);
            h = digest_u64(h, check(moved, PAGES / 2, key));
            CHECK(munmap(beside, (PAGES / 2 + 1) * PAGE) == 0);
        }
    }
    say("places %016llx", (unsigned long long)h);
    return 0;
}
