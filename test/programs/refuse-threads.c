/* A second thread. */
#include "common.h"
#include <pthread.h>

static void *work(void *unused) {
    (void)unused;
    dwell_until_killed();
}

int main(void) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, work, NULL) == 0);
    say("ready");
    dwell_until_killed();
}
