/* A thread with descriptors of its own. */
#define _GNU_SOURCE
#include "common.h"
#include <pthread.h>
#include <sched.h>

static void *work(void *unused) {
    (void)unused;
    CHECK(unshare(CLONE_FILES) == 0);
    say("ready");
    dwell_until_killed();
}

int main(void) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, work, NULL) == 0);
    dwell_until_killed();
}
