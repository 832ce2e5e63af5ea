/* A limit on the CPU time that it may use. */
#include "common.h"
#include <sys/resource.h>

int main(void) {
    struct rlimit limit = {PATIENCE_S, RLIM_INFINITY};
    CHECK(setrlimit(RLIMIT_CPU, &limit) == 0);
    say("ready");
    dwell_until_killed();
}
