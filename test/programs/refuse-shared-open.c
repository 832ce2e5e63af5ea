/* Shared memory that has no name any more, but is open in another process. */
#include "common.h"
#include <sys/mman.h>

int main(void) {
    int fd = memfd_create("shared", 0);
    CHECK(fd >= 0);
    CHECK(ftruncate(fd, 4096) == 0);
    if (fork_partner() == 0) dwell_until_killed();
    volatile char *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(shared != MAP_FAILED);
    CHECK(close(fd) == 0);
    shared[0] = 1;
    say("ready");
    dwell_until_killed();
}
