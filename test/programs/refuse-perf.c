/* A performance event with its buffer mapped. */
#include "common.h"
#include <linux/perf_event.h>
#include <sys/mman.h>
#include <sys/syscall.h>

int main(void) {
    struct perf_event_attr event = {.size = sizeof event, .type = PERF_TYPE_SOFTWARE, .config = PERF_COUNT_SW_CPU_CLOCK};
    event.exclude_kernel = 1;
    int fd = syscall(SYS_perf_event_open, &event, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
    if (fd < 0) unavailable("perf_event_open");
    if (mmap(NULL, 2 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED) unavailable("mmap of a perf event");
    say("ready");
    dwell_until_killed();
}
