/* Anonymous memory shared with a child. */
#include "common.h"
#include <sys/mman.h>

int main(void) {
    volatile char *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    shared[0] = 1;
    if (fork_partner() == 0) dwell_until_killed();
    say("ready");
    dwell_until_killed();
}
