/* A file open that shows the process itself to whoever reads it. */
#include "common.h"

int main(void) {
    CHECK(open("/proc/self/stat", O_RDONLY | O_CLOEXEC) >= 0);
    say("ready");
    dwell_until_killed();
}
