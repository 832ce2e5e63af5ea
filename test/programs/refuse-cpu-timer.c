/* A timer that counts CPU time, armed. */
#include "common.h"
#include <sys/time.h>

int main(void) {
    struct itimerval timer = {{0, 0}, {PATIENCE_S, 0}};
    CHECK(setitimer(ITIMER_PROF, &timer, NULL) == 0);
    say("ready");
    dwell_until_killed();
}
