/*
 * grow ROUNDS: children that make a mapping larger again and again (mremap(2)), which is one area all the time.
 */
#include "common.h"
#include <sys/mman.h>

enum { PAGE = 4096, FIRST = 16, STEP = 4, STEPS = 150 };

static int grown(void) {
    size_t pages = FIRST;
    char *at = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(at != MAP_FAILED);
    for (size_t i = 0; i < pages; i++) at[i * PAGE] = (char)i;
    for (int step = 0; step < STEPS; step++) {
        at = mremap(at, pages * PAGE, (pages + STEP) * PAGE, MREMAP_MAYMOVE);
        CHECK(at != MAP_FAILED);
        for (size_t i = pages; i < pages + STEP; i++) at[i * PAGE] = (char)i;
        pages += STEP;
        for (size_t i = 0; i < pages; i++) CHECK(at[i * PAGE] == (char)i);
        sleep_ms(2);
    }
    CHECK(munmap(at, pages * PAGE) == 0);
    return 0;
}

int main(int argc, char **argv) {
    if (argc < 2) usage("grow ROUNDS");
    say("ready");
    long rounds = number(argc, argv, 1, 0);
    for (long i = 0; i < rounds; i++) {
        pid_t child = fork_partner();
        if (child == 0) _exit(grown());
        say("round %ld: %d", i, status_of(child));
    }
    return 0;
}
