/*
 * vfork-waits MODE PAUSE_MS CHILD_MS: after PAUSE_MS ms a child that has its parent's memory (vfork(2)) stays so for CHILD_MS ms. Meanwhile
 * a call that is made at home alone is made by
 *   group   another process that shares memory with the parent
 *   thread  another thread of the parent
 *   child   the child
 * Says how the child ended.
 */
#include "common.h"
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>

static volatile int *begun;
static long child_ms;
static int by_child;

/* Whatever the kernel thinks of it. */
static void call_home(void) {
    syscall(SYS_io_uring_setup, 0, NULL);
}

static void vfork_once(void) {
    pid_t child = vfork();
    CHECK(child >= 0);
    if (child == 0) {
        *begun = 1;
        if (by_child) call_home();
        for (long left = child_ms; left > 0; left -= 50) sleep_ms(50);
        _exit(3);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    if (WIFSIGNALED(status)) say("the child was killed by %d", WTERMSIG(status));
    else say("the child has ended with %d", WEXITSTATUS(status));
}

static void *in_thread(void *arg) {
    vfork_once();
    return arg;
}

static void call_once_begun(void) {
    while (!*begun) sleep_ms(1);
    call_home();
}

int main(int argc, char **argv) {
    if (argc != 4) usage("vfork-waits MODE PAUSE_MS CHILD_MS");
    long pause_ms = number(argc, argv, 2, 0);
    child_ms = number(argc, argv, 3, 0);
    int in_group = strcmp(argv[1], "group") == 0;
    by_child = strcmp(argv[1], "child") == 0;
    begun = mmap(NULL, 4096, PROT_READ | PROT_WRITE, (in_group ? MAP_SHARED : MAP_PRIVATE) | MAP_ANONYMOUS, -1, 0);
    CHECK(begun != MAP_FAILED);
    say("ready");
    sleep_ms(pause_ms);
    if (in_group) {
        pid_t partner = fork_partner();
        if (partner == 0) {
            vfork_once();
            _exit(0);
        }
        call_once_begun();
        CHECK(status_of(partner) == 0);
    } else if (by_child) {
        vfork_once();
    } else {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, in_thread, NULL) == 0);
        call_once_begun();
        CHECK(pthread_join(thread, NULL) == 0);
    }
    say("done");
    return 0;
}
