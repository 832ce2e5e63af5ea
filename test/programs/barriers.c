/* barriers MS: registers for membarrier(2) at its start, and for another kind half way, and uses them all the time. */
#include "common.h"
#include <linux/membarrier.h>
#include <sys/syscall.h>

static int membarrier(int command) { return (int)syscall(SYS_membarrier, command, 0, 0); }

int main(int argc, char **argv) {
    long ms = number(argc, argv, 1, 2000);
    CHECK(membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0);
    say("ready");
    uint64_t start = now_ns(CLOCK_MONOTONIC);
    int both = 0;
    for (uint64_t now = start; now - start < (uint64_t)ms * NS_PER_MS; now = now_ns(CLOCK_MONOTONIC)) {
        CHECK(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0);
        if (!both && now - start > (uint64_t)ms * NS_PER_MS / 2) {
            both = 1;
            CHECK(membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE) == 0);
        }
        if (both) CHECK(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE) == 0);
    }
    say("done");
    return 0;
}
