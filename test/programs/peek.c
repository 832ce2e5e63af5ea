/*
 *     peek PAUSE_MS [SHARED]
 *
 * Two processes read and write each other's memory (process_vm_readv(2), process_vm_writev(2)), as the ranks of a parallel program do on
 * one machine; with SHARED they share some as well. Says how often they did.
 */
#include "common.h"
#include <sys/mman.h>
#include <sys/uio.h>

static volatile uint64_t mine[1024];

static void move(pid_t other, int write, uint64_t *value, int at) {
    struct iovec here = {value, sizeof *value}, there = {(void *)&mine[at], sizeof *value};
    ssize_t n = write ? process_vm_writev(other, &here, 1, &there, 1, 0) : process_vm_readv(other, &here, 1, &there, 1, 0);
    CHECK(n == (ssize_t)sizeof *value);
}

int main(int argc, char **argv) {
    long pause = number(argc, argv, 1, 500);
    long shared = number(argc, argv, 2, 0);
    volatile uint64_t *both = mmap(NULL, 4096, PROT_READ | PROT_WRITE, (shared ? MAP_SHARED : MAP_PRIVATE) | MAP_ANONYMOUS, -1, 0);
    CHECK(both != MAP_FAILED);
    for (int i = 0; i < 1024; i++) mine[i] = i;
    mine[5] = mine[6] = 0;
    pid_t child = fork_partner();
    if (child == 0) {
        mine[1] = getpid();
        mine[0] = 77;
        /* It is read and written while it computes. */
        while (mine[2] != 99) {
            mine[3]++;
            both[1]++;
            if (mine[5] != 0) {
                mine[5] = 0;
                mine[6]++;
            }
            sleep_ms(1);
        }
        CHECK(mine[4] == 44);
        CHECK(mine[6] == mine[7]);
        _exit(mine[0] == 78 ? 0 : 1);
    }
    say("ready");
    uint64_t end = now_ns(CLOCK_MONOTONIC) + pause * NS_PER_MS, last = 0, value;
    do move(child, 0, &value, 0);
    while (value != 77);
    long times = 0;
    while (now_ns(CLOCK_MONOTONIC) < end || times < 20) {
        move(child, 0, &value, 1);
        CHECK(value == (uint64_t)child);
        move(child, 0, &value, 3);
        CHECK(value >= last);
        last = value;
        both[0]++;
        times++;
        /* Each of these is seen once. */
        value = 1;
        move(child, 1, &value, 5);
        do {
            sleep_ms(1);
            move(child, 0, &value, 5);
        } while (value != 0);
        sleep_ms(3);
    }
    value = 78;
    move(child, 1, &value, 0);
    value = 44;
    move(child, 1, &value, 4);
    value = times;
    move(child, 1, &value, 7);
    value = 99;
    move(child, 1, &value, 2);
    CHECK(status_of(child) == 0);
    CHECK(last > 0 && both[0] == (uint64_t)times);
    say("done");
    return 0;
}
