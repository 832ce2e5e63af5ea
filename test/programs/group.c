/*
 * Processes that share memory in every way that can be moved, and check that they do: shared anonymous memory, a System V segment
 * that is marked to be removed, a file of shared memory without a name, with process-shared mutexes (robust and with priority
 * inheritance), semaphores, barriers and plain words in it. The children hand turns around a ring; each counts in all kinds of memory.
 *
 *     group CHILDREN ROUNDS [PAUSE_MS [KEEP]]
 *
 * With KEEP the file keeps its name, and a descriptor of it stays open, until the end.
 *
 * Prints `ready` before the rounds and `done SUM` after, with the same sum whatever happens to it.
 */
#include "common.h"
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>

#define MAX_CHILDREN 16
#define PAGES 64
#define PAGE 4096

struct board {
    pthread_mutex_t robust, inherit;
    pthread_barrier_t barrier;
    sem_t ring[MAX_CHILDREN];
    volatile uint64_t turns, deaths, robust_count, inherit_count;
    volatile uint32_t word;
    /* What the children write at random, with a sum of its own. */
    volatile uint64_t cells[1024];
};

static struct board *board;
static volatile uint64_t *segment;
static volatile uint64_t *file;
static const volatile uint64_t *readonly;
static int children, rounds, keep;
static char name[64];
static int kept_fd = -1;

static void init_mutex(pthread_mutex_t *m, int robust) {
    pthread_mutexattr_t a;
    CHECK(pthread_mutexattr_init(&a) == 0);
    CHECK(pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED) == 0);
    CHECK(pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST) == 0);
    if (!robust) CHECK(pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_INHERIT) == 0);
    CHECK(pthread_mutex_init(m, &a) == 0);
}

static void make(void) {
    board = mmap(NULL, sizeof *board + PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(board != MAP_FAILED);
    init_mutex(&board->robust, 1);
    init_mutex(&board->inherit, 0);
    pthread_barrierattr_t a;
    CHECK(pthread_barrierattr_init(&a) == 0);
    CHECK(pthread_barrierattr_setpshared(&a, PTHREAD_PROCESS_SHARED) == 0);
    CHECK(pthread_barrier_init(&board->barrier, &a, children) == 0);
    for (int i = 0; i < children; i++) CHECK(sem_init(&board->ring[i], 1, i == 0) == 0);

    int id = shmget(IPC_PRIVATE, 3 * PAGE, IPC_CREAT | 0600);
    CHECK(id >= 0);
    segment = shmat(id, NULL, 0);
    CHECK(segment != (void *)-1);
    CHECK(shmctl(id, IPC_RMID, NULL) == 0);

    snprintf(name, sizeof name, "/tesela-group-%d", getpid());
    int fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
    CHECK(fd >= 0);
    CHECK(ftruncate(fd, 16 * PAGE) == 0);
    file = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(file != MAP_FAILED);
    int ro = shm_open(name, O_RDONLY, 0);
    CHECK(ro >= 0);
    readonly = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, ro, 0);
    CHECK(readonly != MAP_FAILED);
    if (keep) {
        kept_fd = fd;
        CHECK(close(ro) == 0);
        return;
    }
    CHECK(close(fd) == 0 && close(ro) == 0 && shm_unlink(name) == 0);
}

/* A lock whose owner may have died with it. */
static void lock(pthread_mutex_t *m) {
    int e = pthread_mutex_lock(m);
    if (e == EOWNERDEAD) {
        board->deaths++;
        e = pthread_mutex_consistent(m);
    }
    if (e != 0) {
        errno = e;
        CHECK(e == 0);
    }
}

static void futex_wait(volatile uint32_t *word, uint32_t value) {
    while (*word == value) syscall(SYS_futex, word, FUTEX_WAIT, value, NULL, NULL, 0);
}
static void futex_wake(volatile uint32_t *word) {
    syscall(SYS_futex, word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

static int child(int me) {
    rng_state = 1000 + me;
    for (int round = 0; round < rounds; round++) {
        while (sem_wait(&board->ring[me]) != 0) CHECK(errno == EINTR);
        uint64_t turn = board->turns++;
        CHECK((int)(turn % children) == me);
        CHECK(segment[me] == (uint64_t)round);
        segment[me]++;
        CHECK(file[me * 512] == (uint64_t)round);
        file[me * 512]++;
        CHECK(readonly[0] == file[0]);
        if (keep && rnd_below(32) == 0) {
            /* What it holds, by its name and by the descriptor. */
            uint64_t value;
            CHECK(pread(kept_fd, &value, sizeof value, me * 4096) == sizeof value && value == (uint64_t)round + 1);
            int fd = shm_open(name, O_RDWR, 0);
            CHECK(fd >= 0);
            CHECK(pread(fd, &value, sizeof value, me * 4096) == sizeof value && value == (uint64_t)round + 1);
            uint64_t mark = round;
            CHECK(pwrite(fd, &mark, sizeof mark, me * 4096 + 8) == sizeof mark);
            CHECK(close(fd) == 0);
            CHECK(file[me * 512 + 1] == mark);
        }
        CHECK(sem_post(&board->ring[(me + 1) % children]) == 0);

        lock(&board->robust);
        uint64_t count = board->robust_count;
        if (rnd_below(8) == 0) sleep_ms(1);
        board->robust_count = count + 1;
        CHECK(pthread_mutex_unlock(&board->robust) == 0);
        lock(&board->inherit);
        count = board->inherit_count;
        board->cells[rnd_below(1024)] += 3;
        board->inherit_count = count + 1;
        CHECK(pthread_mutex_unlock(&board->inherit) == 0);

        /* A grandchild inherits all of it, and ends with a lock held now and then. */
        if (rnd_below(16) == 0) {
            pid_t pid = fork();
            CHECK(pid >= 0);
            if (pid == 0) {
                lock(&board->robust);
                board->robust_count += 1000;
                _exit(7);
            }
            CHECK(status_of(pid) == 7);
            lock(&board->robust);
            CHECK(pthread_mutex_unlock(&board->robust) == 0);
        }
        if (round % 8 == 7) {
            int e = pthread_barrier_wait(&board->barrier);
            CHECK(e == 0 || e == PTHREAD_BARRIER_SERIAL_THREAD);
        }
        dwell_ms(2);
    }
    /* mprotect(2) knows what it was opened for. */
    CHECK(mprotect((void *)readonly, PAGE, PROT_READ | PROT_WRITE) == -1 && errno == EACCES);
    __atomic_add_fetch(&board->word, 1, __ATOMIC_SEQ_CST);
    futex_wake(&board->word);
    return 0;
}

int main(int argc, char **argv) {
    if (argc < 3) usage("group CHILDREN ROUNDS [PAUSE_MS]");
    children = number(argc, argv, 1, 3);
    rounds = number(argc, argv, 2, 20);
    long pause = number(argc, argv, 3, 0);
    keep = number(argc, argv, 4, 0);
    CHECK(children > 0 && children <= MAX_CHILDREN);
    make();
    say("ready");
    sleep_ms(pause);
    pid_t pids[MAX_CHILDREN];
    for (int i = 0; i < children; i++) {
        pids[i] = fork();
        CHECK(pids[i] >= 0);
        if (pids[i] == 0) _exit(child(i));
    }
    for (uint32_t seen; (seen = board->word) < (uint32_t)children;) futex_wait(&board->word, seen);
    for (int i = 0; i < children; i++) CHECK(status_of(pids[i]) == 0);
    CHECK(board->turns == (uint64_t)children * rounds);
    uint64_t sum = 0;
    for (int i = 0; i < 1024; i++) sum += board->cells[i];
    CHECK(sum == 3ull * children * rounds);
    for (int i = 0; i < children; i++) CHECK(segment[i] == (uint64_t)rounds && file[i * 512] == (uint64_t)rounds);
    CHECK(board->inherit_count == (uint64_t)children * rounds);
    CHECK(board->robust_count % 1000 == (uint64_t)children * rounds % 1000);
    CHECK(board->robust_count / 1000 >= board->deaths);
    if (keep) {
        uint64_t value;
        for (int i = 0; i < children; i++)
            CHECK(pread(kept_fd, &value, sizeof value, i * 4096) == sizeof value && value == (uint64_t)rounds);
        CHECK(shm_unlink(name) == 0);
    }
    say("done %lu deaths %lu", board->robust_count, board->deaths);
    return 0;
}
