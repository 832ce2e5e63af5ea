/* Memory locked into RAM. */
#include "common.h"
#include <sys/mman.h>

int main(void) {
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED);
    if (mlock(page, 4096) != 0) unavailable("mlock");
    say("ready");
    dwell_until_killed();
}
