/* Anonymous memory shared with a child that stays where it is, for it has locked some. */
#include "common.h"
#include <sys/mman.h>

int main(void) {
    volatile char *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    if (fork_partner() == 0) {
        static char locked[4096];
        if (mlock(locked, sizeof locked) != 0) unavailable("mlock");
        shared[0] = 1;
        dwell_until_killed();
    }
    while (shared[0] == 0) sleep_ms(1);
    say("ready");
    dwell_until_killed();
}
