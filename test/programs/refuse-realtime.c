/* Real-time scheduling. It sleeps nearly all of the time: nothing else runs on its CPU while it does not. */
#include "common.h"
#include <sched.h>

int main(void) {
    struct sched_param param = {.sched_priority = 1};
    if (sched_setscheduler(0, SCHED_FIFO, &param) != 0) unavailable("SCHED_FIFO");
    say("ready");
    for (int i = 0; i < PATIENCE_S * 20; i++) sleep_ms(50);
    return 3;
}
