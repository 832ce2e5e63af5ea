/*
 *     peek-self TIMES
 *
 * Reads and writes its own memory by way of the number of another of its threads, which is as good as its own (process_vm_readv(2)).
 */
#include "common.h"
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/uio.h>

static volatile pid_t other;
static volatile uint64_t mine[512];

static void *sleeper(void *unused) {
    (void)unused;
    other = syscall(SYS_gettid);
    for (;;) sleep_ms(1000);
    return NULL;
}

int main(int argc, char **argv) {
    long times = number(argc, argv, 1, 50);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, sleeper, NULL) == 0);
    while (other == 0) sleep_ms(1);
    say("ready");
    for (long i = 1; i <= times; i++) {
        uint64_t value = 0;
        struct iovec here = {&value, sizeof value}, there = {(void *)&mine[i % 512], sizeof value};
        mine[i % 512] = i;
        CHECK(process_vm_readv(other, &here, 1, &there, 1, 0) == (ssize_t)sizeof value);
        CHECK(value == (uint64_t)i);
        value = i + 1;
        CHECK(process_vm_writev(other, &here, 1, &there, 1, 0) == (ssize_t)sizeof value);
        CHECK(mine[i % 512] == (uint64_t)i + 1);
        sleep_ms(20);
    }
    say("done");
    return 0;
}
