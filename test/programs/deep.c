/*
 * deep ROUNDS: children whose stacks grow page by page to most of what they may be; what is on them stays.
 */
#include "common.h"
#include <sys/resource.h>

enum { FRAME = 3000, LEAST_LEFT = 256 << 10 };

static long deepest;

static long down(long level) {
    volatile unsigned char frame[FRAME];
    memset((void *)frame, level & 0xff, sizeof frame);
    if (level % 8 == 0) sleep_ms(1);
    long sum = level < deepest ? down(level + 1) : 0;
    if (level % 32 == 0) sleep_ms(1);
    for (int i = 0; i < FRAME; i++) CHECK(frame[i] == (level & 0xff));
    return sum + level;
}

int main(int argc, char **argv) {
    if (argc < 2) usage("deep ROUNDS");
    struct rlimit stack;
    CHECK(getrlimit(RLIMIT_STACK, &stack) == 0);
    deepest = (stack.rlim_cur > (8 << 20) ? (8 << 20) - LEAST_LEFT : stack.rlim_cur - LEAST_LEFT) / (FRAME + 128);
    say("ready");
    long rounds = number(argc, argv, 1, 0);
    for (long i = 0; i < rounds; i++) {
        /* What a child's stack grows by the kernel does not join with what is its parent's too, where that was mapped (mm/vma.c). */
        pid_t child = fork_partner();
        if (child == 0) _exit(down(0) != deepest * (deepest + 1) / 2);
        say("round %ld: %d", i, status_of(child));
    }
    return 0;
}
