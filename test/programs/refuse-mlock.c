/* Memory locked into RAM; with an argument only once a line has come, after saying `unlocked`. */
#include "common.h"
#include <sys/mman.h>

int main(int argc, char **argv) {
    (void)argv;
    if (argc > 1) {
        say("unlocked");
        CHECK(getchar() == '\n');
    }
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED);
    if (mlock(page, 4096) != 0) unavailable("mlock");
    say("ready");
    dwell_until_killed();
}
