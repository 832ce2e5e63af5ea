/*
 * own-threads ROUNDS [PAUSE_MS]: what /proc says of each thread of the process, looked at by itself and by another one: names,
 * numbers, states, masks; by its folder, by thread-self, and by a descriptor of the folder.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include "common.h"

#define WORKERS 3
#define ROOM (1 << 16)
enum kind { COMPUTES, READS, WAITS };
static const char states[] = "RSS";
static pid_t tids[WORKERS];
static atomic_int turn[WORKERS], over;
static int held[2];
static pthread_barrier_t all_here;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local char text[ROOM];

static void slurp(int dir, const char *path) {
    int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) fail_check(path, __LINE__, "opens");
    text[read_all(fd, text, ROOM - 1)] = '\0';
    close(fd);
}
static unsigned long number_of(const char *key, int base) {
    char *at = strstr(text, key);
    CHECK(at != NULL);
    return strtoul(at + strlen(key), NULL, base);
}

struct stat_line {
    int pid, parent;
    char comm[32], state;
    long threads;
};
static struct stat_line stat_of(int dir, const char *path) {
    struct stat_line s;
    slurp(dir, path);
    CHECK(sscanf(text, "%d (%31[^)]) %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %ld", &s.pid, s.comm, &s.state,
                 &s.parent, &s.threads) == 5);
    return s;
}

/* A thread of itself: it runs, under its name and number, with its mask. */
static void look_at_myself(const char *name, unsigned long mask) {
    char path[64];
    pid_t tid = (pid_t)syscall(SYS_gettid);
    struct stat_line s = stat_of(AT_FDCWD, "/proc/thread-self/stat");
    CHECK(s.pid == tid && s.parent == getppid() && s.state == 'R' && strcmp(s.comm, name) == 0 && s.threads == WORKERS + 1);
    snprintf(path, sizeof path, "/proc/self/task/%d/status", tid);
    slurp(AT_FDCWD, path);
    CHECK(strncmp(text, "Name:\t", 6) == 0 && strncmp(text + 6, name, strlen(name)) == 0 && strstr(text, "\nState:\tR (running)\n"));
    CHECK(number_of("\nPid:\t", 10) == (unsigned long)tid && number_of("\nTgid:\t", 10) == (unsigned long)getpid());
    CHECK(number_of("\nThreads:\t", 10) == WORKERS + 1 && number_of("\nSigBlk:\t", 16) == mask);
    CHECK(number_of("\nVmSize:\t", 10) > 0 && number_of("\nVmRSS:\t", 10) > 0);
    slurp(AT_FDCWD, "/proc/thread-self/comm");
    CHECK(strncmp(text, name, strlen(name)) == 0 && text[strlen(name)] == '\n');
    slurp(AT_FDCWD, "/proc/thread-self/maps");
    CHECK(strstr(text, "[stack]") != NULL);
}

static void *work(void *arg) {
    long which = (long)arg;
    char name[16], byte;
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR1 + (int)which * 2);
    CHECK(pthread_sigmask(SIG_SETMASK, &mask, NULL) == 0);
    snprintf(name, sizeof name, "worker %ld", which);
    CHECK(prctl(PR_SET_NAME, name) == 0);
    tids[which] = (pid_t)syscall(SYS_gettid);
    volatile uint64_t x = 1;
    pthread_barrier_wait(&all_here);
    for (int round = 1;; round++) {
        if (over) return NULL;
        look_at_myself(name, 1ul << (SIGUSR1 + which * 2 - 1));
        turn[which] = round;
        if (which == COMPUTES) while (turn[which] == round && !over) x = mix(x);
        else if (which == READS) CHECK(read(held[0], &byte, 1) == 1);
        else pthread_mutex_lock(&lock), pthread_mutex_unlock(&lock), turn[which] == round && !over ? usleep(1000) : 0;
    }
}

/* Its folder, as another thread sees it. For a moment one that is about to leave stands still. */
static void look_at(int which, int tasks) {
    char path[64], name[16];
    snprintf(path, sizeof path, "%d/stat", tids[which]);
    snprintf(name, sizeof name, "worker %d", which);
    for (int tries = 0;; tries++) {
        struct stat_line s = stat_of(tasks, path);
        CHECK(s.pid == tids[which] && strcmp(s.comm, name) == 0);
        if (s.state == states[which]) break;
        if (tries > 2000) fail_check(path, s.state, "is in the state that it should be in");
        usleep(1000);
    }
    snprintf(path, sizeof path, "%d/status", tids[which]);
    slurp(tasks, path);
    CHECK(number_of("\nPid:\t", 10) == (unsigned long)tids[which] && number_of("\nSigBlk:\t", 16) == 1ul << (SIGUSR1 + which * 2 - 1));
}

int main(int argc, char **argv) {
    if (argc < 2) usage("own-threads ROUNDS [PAUSE_MS]");
    long rounds = number(argc, argv, 1, 0), pause_ms = number(argc, argv, 2, 0);
    CHECK(prctl(PR_SET_NAME, "own-threads") == 0 && pipe(held) == 0);
    pthread_t threads[WORKERS];
    CHECK(pthread_barrier_init(&all_here, NULL, WORKERS) == 0);
    pthread_mutex_lock(&lock);
    for (long i = 0; i < WORKERS; i++) CHECK(pthread_create(&threads[i], NULL, work, (void *)i) == 0);
    int tasks = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(tasks >= 0);
    for (int round = 1; round <= rounds; round++) {
        for (int i = 0; i < WORKERS; i++) while (turn[i] < round) usleep(500);
        for (int i = 0; i < WORKERS; i++) look_at(i, tasks);
        look_at_myself("own-threads", 0);
        CHECK(stat_of(AT_FDCWD, "/proc/self/stat").state == 'R' && stat_of(AT_FDCWD, "/proc/self/stat").threads == WORKERS + 1);
        int found = 0;
        DIR *dir = opendir("/proc/self/task");
        CHECK(dir != NULL);
        for (struct dirent *e; (e = readdir(dir)) != NULL;) {
            found += atoi(e->d_name) == getpid();
            for (int i = 0; i < WORKERS; i++) found += atoi(e->d_name) == tids[i];
        }
        closedir(dir);
        CHECK(found == WORKERS + 1);
        say("round %d", round);
        if (pause_ms > 0) sleep_ms(pause_ms);
        if (round == rounds) over = 1;
        turn[COMPUTES] = 0;
        write_all(held[1], "", 1);
        pthread_mutex_unlock(&lock);
        while (turn[WAITS] == round && !over) usleep(200);
        pthread_mutex_lock(&lock);
        if (over) pthread_mutex_unlock(&lock);
    }
    for (int i = 0; i < WORKERS; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    return 0;
}
