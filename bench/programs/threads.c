/*
 * threads COUNT: that many threads, the first included, of which all but the first wait for a turn of a condition variable. Prints
 * "ready"; for each line that it reads wakes all of them, waits until each has counted, and prints "same".
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turn = PTHREAD_COND_INITIALIZER, counted = PTHREAD_COND_INITIALIZER;
static unsigned long now;
static size_t here, others;

static void *wait_for_turns(void *argument) {
    pthread_mutex_lock(&lock);
    for (unsigned long seen = 0;; seen = now) {
        if (++here == others) pthread_cond_signal(&counted);
        while (now == seen) pthread_cond_wait(&turn, &lock);
    }
    return argument;
}

/* With the lock held. */
static void gather(void) {
    while (here < others) pthread_cond_wait(&counted, &lock);
    here = 0;
}

int main(int argc, char **argv) {
    others = (argc > 1 ? strtoul(argv[1], NULL, 10) : 1) - 1;
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 65536);
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < others; i++) {
        pthread_t thread;
        if (pthread_create(&thread, &small, wait_for_turns, NULL)) return 1;
    }
    gather();
    puts("ready");
    fflush(stdout);
    for (int c = getchar(); c != EOF; c = getchar()) {
        if (c != '\n') continue;
        now++;
        pthread_cond_broadcast(&turn);
        gather();
        puts("same");
        fflush(stdout);
    }
    return 0;
}
