/* The first thread has ended, another goes on. */
#include "common.h"
#include <pthread.h>

static pthread_t first;

static void *work(void *unused) {
    (void)unused;
    pthread_join(first, NULL);
    say("ready");
    dwell_until_killed();
}

int main(void) {
    pthread_t thread;
    first = pthread_self();
    CHECK(pthread_create(&thread, NULL, work, NULL) == 0);
    /* Its name in /proc, by which it is looked for, goes with it. */
    sleep_ms(1000);
    pthread_exit(NULL);
}
