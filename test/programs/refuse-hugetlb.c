/* A mapping of the huge page file system. No huge page is needed for it to exist, and none is touched. */
#include "common.h"
#include <sys/mman.h>

int main(void) {
    void *huge = mmap(NULL, 2 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_NORESERVE, -1, 0);
    if (huge == MAP_FAILED) unavailable("MAP_HUGETLB");
    say("ready");
    dwell_until_killed();
}
