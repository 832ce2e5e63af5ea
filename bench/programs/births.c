/*
 * births: for each line "fork COUNT", "spawn COUNT" or "thread COUNT" that it reads, begins so many children that end at once, one
 * after the other (fork and wait; posix_spawn of /bin/true and wait; a thread and join), and prints the median time of one in microseconds.
 */
#define _GNU_SOURCE
#include "timing.h"
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static int awaited(pid_t pid) {
    int status;
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static int fork_wait(void) {
    pid_t pid = fork();
    if (pid == 0) _exit(0);
    return awaited(pid);
}

static int spawn_wait(void) {
    pid_t pid;
    char *argv[] = {"true", NULL};
    return posix_spawn(&pid, "/bin/true", NULL, NULL, argv, environ) == 0 && awaited(pid);
}

static void *nothing(void *argument) { return argument; }

static int thread_join(void) {
    pthread_t thread;
    return pthread_create(&thread, NULL, nothing, NULL) == 0 && pthread_join(thread, NULL) == 0;
}

int main(void) {
    char line[64], name[16];
    size_t count;
    while (fgets(line, sizeof line, stdin) && sscanf(line, "%15s %zu", name, &count) == 2) {
        int (*birth)(void) = !strcmp(name, "fork") ? fork_wait : !strcmp(name, "spawn") ? spawn_wait : thread_join;
        double *took = calloc(count, sizeof *took);
        for (size_t i = 0; i < count; i++) {
            double start = now_us();
            if (!birth()) {
                perror(name);
                return 1;
            }
            took[i] = now_us() - start;
        }
        printf("%.3f\n", median_of(took, count));
        fflush(stdout);
        free(took);
    }
    return 0;
}
