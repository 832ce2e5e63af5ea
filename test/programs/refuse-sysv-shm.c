/* A System V shared memory segment; it is removed at once and lives as long as it is attached. */
#include "common.h"
#include <sys/ipc.h>
#include <sys/shm.h>

int main(void) {
    int id = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
    if (id < 0) unavailable("shmget");
    volatile char *shared = shmat(id, NULL, 0);
    CHECK(shared != (void *)-1);
    CHECK(shmctl(id, IPC_RMID, NULL) == 0);
    shared[0] = 1;
    say("ready");
    dwell_until_killed();
}
