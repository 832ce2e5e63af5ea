/* A System V shared memory segment that is there for others to attach; it goes with its IPC namespace. */
#include "common.h"
#include <sys/ipc.h>
#include <sys/shm.h>

int main(void) {
    int id = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
    if (id < 0) unavailable("shmget");
    volatile char *shared = shmat(id, NULL, 0);
    CHECK(shared != (void *)-1);
    shared[0] = 1;
    say("ready");
    dwell_until_killed();
}
