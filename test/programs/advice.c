/*
 *     advice PAUSE_MS
 *
 * Says what of its memory its children do not get (madvise(2): MADV_WIPEONFORK, MADV_DONTFORK), before and after a pause, and once more
 * when it has changed that and paused again.
 */
#include "common.h"
#include <sys/mman.h>
#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08
#endif

#define PAGE 4096ul
#define AREAS 5

static unsigned char *area[AREAS];

static void *map(int flags) {
    void *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return NULL;
    memset(p, 7, PAGE);
    return p;
}

/* What a child finds: 7 as it was, 0 for zeros, - for nothing. */
static void tell(const char *when) {
    int pipes[2];
    CHECK(pipe(pipes) == 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        char found[AREAS];
        for (int i = 0; i < AREAS; i++) {
            unsigned char in_core;
            int there = area[i] && mincore(area[i], PAGE, &in_core) == 0;
            found[i] = there ? '0' + area[i][0] : '-';
        }
        write_all(pipes[1], found, AREAS);
        _exit(0);
    }
    char found[AREAS + 1] = {0};
    CHECK(read_all(pipes[0], found, AREAS) == AREAS);
    CHECK(status_of(pid) == 0);
    CHECK(close(pipes[0]) == 0 && close(pipes[1]) == 0);
    for (int i = 0; i < AREAS; i++) CHECK(!area[i] || i == 4 || area[i][0] == 7);
    say("%s %s", when, found);
}

int main(int argc, char **argv) {
    long pause = number(argc, argv, 1, 100);
    for (int i = 0; i < 4; i++) CHECK((area[i] = map(MAP_PRIVATE)) != NULL);
    CHECK(madvise(area[1], PAGE, MADV_WIPEONFORK) == 0);
    CHECK(madvise(area[2], PAGE, MADV_DONTFORK) == 0);
    CHECK(madvise(area[3], PAGE, MADV_DONTDUMP) == 0);
    /* Linux 6.11 and newer. */
    area[4] = map(MAP_DROPPABLE);
    tell("first");
    say("ready");
    sleep_ms(pause);
    tell("then");
    CHECK(madvise(area[1], PAGE, MADV_KEEPONFORK) == 0);
    CHECK(madvise(area[0], PAGE, MADV_WIPEONFORK) == 0);
    CHECK(madvise(area[2], PAGE, MADV_DOFORK) == 0);
    CHECK(madvise(area[3], PAGE, MADV_DONTFORK) == 0);
    tell("changed");
    sleep_ms(pause);
    tell("last");
    return 0;
}
