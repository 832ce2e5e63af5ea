/*
 * abort MODE [MS]: dies of a signal of its own making after MS milliseconds of work.
 *     abort  by abort()          kill N  by signal number N sent to itself (third argument)
 *     exit N ends with status N instead, for comparison
 */
#include "common.h"

int main(int argc, char **argv) {
    if (argc < 2) usage("abort abort|kill|exit [MS [N]]");
    int n = number(argc, argv, 3, 0);
    say("ready");
    dwell_ms(number(argc, argv, 2, 0));
    if (strcmp(argv[1], "abort") == 0) abort();
    if (strcmp(argv[1], "exit") == 0) exit(n);
    if (strcmp(argv[1], "kill") != 0) usage("abort abort|kill|exit [MS [N]]");
    CHECK(kill(getpid(), n) == 0);
    say("still here");
    return 0;
}
