/* A writable shared mapping of a file that another process has mapped too. */
#include "common.h"
#include <sys/mman.h>

int main(void) {
    char name[] = "/tmp/tesela-refuse-XXXXXX";
    int fd = mkstemp(name);
    CHECK(fd >= 0 && unlink(name) == 0 && ftruncate(fd, 4096) == 0);
    volatile char *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(shared != MAP_FAILED);
    shared[0] = 1;
    if (fork_partner() == 0) dwell_until_killed();
    say("ready");
    dwell_until_killed();
}
