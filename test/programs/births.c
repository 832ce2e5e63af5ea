/*
 * births CHILDREN [AREAS]: makes children one after the other, each of which lives 30 ms, and then waits until all have ended.
 * It has so many areas of memory.
 */
#include "common.h"
#include <sys/mman.h>

#define PAGE 4096ul

int main(int argc, char **argv) {
    long children = number(argc, argv, 1, 100);
    long areas = number(argc, argv, 2, 0);
    /* Every other page, or the kernel would make one area of them. */
    char *base = mmap(NULL, 2 * areas * PAGE + PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(base != MAP_FAILED);
    for (long i = 0; i < areas; i++) CHECK(mprotect(base + 2 * i * PAGE, PAGE, PROT_READ | PROT_WRITE) == 0);
    CHECK(signal(SIGCHLD, SIG_IGN) != SIG_ERR);
    say("ready");
    for (long i = 0; i < children; i++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            sleep_ms(30);
            _exit(0);
        }
    }
    CHECK(waitpid(-1, NULL, 0) == -1 && errno == ECHILD);
    say("done");
    return 0;
}
