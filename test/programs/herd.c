/*
 *     herd CHILDREN [STEP_MS]
 *
 * Children count in memory that all share, each for itself, and know how far they are; somebody kills them one by one. The parent sees
 * that no count goes back, and says in the end how they ended.
 */
#include "common.h"
#include <sys/mman.h>

#define MAX 512

int main(int argc, char **argv) {
    int children = number(argc, argv, 1, 6);
    long step_ms = number(argc, argv, 2, 1);
    CHECK(children > 0 && children <= MAX);
    volatile uint64_t *count = mmap(NULL, MAX * 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(count != MAP_FAILED);
    pid_t pids[MAX];
    for (int i = 0; i < children; i++) {
        pids[i] = fork_partner();
        if (pids[i] == 0) {
            for (uint64_t mine = 0;; mine++) {
                if (count[i * 512] != mine) _exit(9);
                count[i * 512] = mine + 1;
                sleep_ms(step_ms);
            }
        }
    }
    say("ready");
    uint64_t last[MAX] = {0};
    int left = children, killed = 0;
    while (left > 0) {
        for (int i = 0; i < children; i++) {
            uint64_t now = count[i * 512];
            CHECK(now >= last[i]);
            last[i] = now;
            int status;
            if (!pids[i] || waitpid(pids[i], &status, WNOHANG) != pids[i]) continue;
            pids[i] = 0;
            left--;
            killed += WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
        }
        sleep_ms(1);
    }
    say("done %d of %d", killed, children);
    return 0;
}
