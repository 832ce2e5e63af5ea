/*
 * grows MIB RATE SECONDS: takes memory, at most RATE MiB a second until it has MIB, keeps it for so many seconds, and compares each page
 * with what was written to it. Prints `grown`, then the number of pages that were right; status 1 when one was not.
 */
#include "common.h"
#include <time.h>

#define MIB (1L << 20)
#define PAGE 4096
/* What a sleep may take longer than it was meant to. */
#define SLACK_S 0.01

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
    long most = argc > 1 ? atol(argv[1]) : 16;
    double rate = argc > 2 ? atof(argv[2]) : 1000, keep = argc > 3 ? atof(argv[3]) : 0, due = now();
    char **pieces = calloc(most, sizeof *pieces);
    for (long i = 0; i < most; i++) {
        pieces[i] = malloc(MIB);
        if (!pieces[i]) return 1;
        for (long at = 0; at < MIB; at += PAGE) memset(pieces[i] + at, (int)((i * 31 + at / PAGE) & 255), PAGE);
        /* Who was held up on a busy machine does not make good for it: that would be faster than RATE. */
        due = due + 1 / rate > now() - SLACK_S ? due + 1 / rate : now() - SLACK_S;
        while (now() < due) nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    printf("grown\n");
    fflush(stdout);
    for (double until = now() + keep; now() < until;) nanosleep(&(struct timespec){0, 100000000}, NULL);
    long right = 0;
    for (long i = 0; i < most; i++)
        for (long at = 0; at < MIB; at += PAGE) {
            unsigned char want = (i * 31 + at / PAGE) & 255, *page = (unsigned char *)pieces[i] + at;
            if (page[0] == want && page[PAGE / 2] == want && page[PAGE - 1] == want) right++;
        }
    printf("%ld pages\n", right);
    return right == most * (MIB / PAGE) ? 0 : 1;
}
