/* threads: how threads begin and end, what is each one's own, and processes that threads start. */
#include "threads.h"
#include <sched.h>
#include <semaphore.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <linux/futex.h>

extern char **environ;

struct crowd {
    pthread_barrier_t barrier;
    _Atomic pid_t tids[MOST_MEMBERS];
};

/* Names, numbers and priorities are a thread's own; the process's number is of all. */
static void have_own(member *m) {
    struct crowd *c = m->shared;
    char name[16], want[16];
    pid_t mine = tid();
    c->tids[m->index] = mine;
    pthread_barrier_wait(&c->barrier);
    for (int i = 0; i < 4; i++) CHECK(i == m->index || c->tids[i] != mine);
    CHECK(mine != getpid() && syscall(SYS_tgkill, getpid(), mine, 0) == 0);
    CHECK(syscall(SYS_tgkill, mine, mine, 0) == -1 && errno == ESRCH);
    snprintf(want, sizeof want, "own-%llu", (unsigned long long)(m->seed % 10000000));
    CHECK(prctl(PR_SET_NAME, want) == 0);
    int nice = getpriority(PRIO_PROCESS, 0), nicer = nice + m->index < 19 ? nice + m->index : 19;
    CHECK(setpriority(PRIO_PROCESS, mine, nicer) == 0);
    for (int i = 0; i < 4; i++) {
        pthread_barrier_wait(&c->barrier);
        CHECK(prctl(PR_GET_NAME, name) == 0 && strcmp(name, want) == 0);
        OK(pthread_getname_np(pthread_self(), name, sizeof name));
        CHECK(strcmp(name, want) == 0 && tid() == mine && getpriority(PRIO_PROCESS, 0) == nicer);
        CHECK(getpriority(PRIO_PROCESS, mine) == nicer);
    }
    m->result = digest(DIGEST_START, want, strlen(want));
}

uint64_t tids(uint64_t seed) {
    struct crowd c;
    OK(pthread_barrier_init(&c.barrier, NULL, 4));
    int nice = getpriority(PRIO_PROCESS, 0);
    uint64_t h = team(4, seed, have_own, &c);
    CHECK(getpriority(PRIO_PROCESS, 0) == nice);
    OK(pthread_barrier_destroy(&c.barrier));
    return h;
}

static __thread uint64_t local = 77, zeroes[16];
static atomic_int destroyed, begun;
static pthread_key_t key;
static void destroy(void *value) {
    CHECK(*(uint64_t *)value == local);
    atomic_fetch_add(&destroyed, 1);
}
static void begin(void) {
    atomic_fetch_add(&begun, 1);
}

static void keep(member *m) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    OK(pthread_once(&once, begin));
    CHECK(begun == 1 && local == 77 && zeroes[3] == 0 && pthread_getspecific(key) == NULL);
    OK(pthread_setspecific(key, &local));
    pthread_t self_was = pthread_self();
    for (int i = 0; i < 60; i++) {
        local = mix(local + m->seed);
        zeroes[i % 16] = local;
        errno = m->index + 100;
        CHECK(getppid() > 0);
        if (i % 8 == 0) CHECK(close(-1) == -1 && errno == EBADF);
        else CHECK(errno == m->index + 100);
        CHECK(zeroes[i % 16] == local && pthread_getspecific(key) == &local && pthread_equal(self_was, pthread_self()));
    }
    m->result = local;
}

uint64_t locals(uint64_t seed) {
    static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;
    OK(pthread_mutex_lock(&one));
    OK(pthread_key_create(&key, destroy));
    destroyed = 0;
    uint64_t h = team(4, seed, keep, NULL);
    CHECK(destroyed == 4);
    OK(pthread_key_delete(key));
    OK(pthread_mutex_unlock(&one));
    return h;
}

struct burst {
    sem_t ended;
    atomic_ullong sum;
    uint64_t seed;
};

static void *be_short(void *arg) {
    struct burst *b = arg;
    char stack[3000];
    memset(stack, (int)b->seed, sizeof stack);
    atomic_fetch_add(&b->sum, digest(b->seed, stack, sizeof stack));
    CHECK(sem_post(&b->ended) == 0);
    return arg;
}

/* Detached ones and joined ones, on stacks that are used again. */
uint64_t bursts(uint64_t seed) {
    enum { EACH = 8, TIMES = 3 };
    // Not on the stack: a detached thread that has let us in by sem_post(3) may wake who waits at that address a little later.
    static struct burst b;
    static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;
    OK(pthread_mutex_lock(&one));
    b.seed = seed;
    b.sum = 0;
    CHECK(sem_init(&b.ended, 0, 0) == 0);
    pthread_attr_t detached, small;
    OK(pthread_attr_init(&detached));
    OK(pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED));
    OK(pthread_attr_init(&small));
    OK(pthread_attr_setstacksize(&small, 65536));
    for (int time = 0; time < TIMES; time++) {
        pthread_t threads[EACH];
        for (int i = 0; i < EACH; i++) {
            pthread_t gone;
            OK(pthread_create(&gone, &detached, be_short, &b));
            OK(pthread_create(&threads[i], &small, be_short, &b));
        }
        for (int i = 0; i < EACH; i++) {
            void *end;
            OK(pthread_join(threads[i], &end));
            CHECK(end == &b);
        }
    }
    for (int i = 0; i < 2 * EACH * TIMES; i++) while (sem_wait(&b.ended) != 0) CHECK(errno == EINTR);
    OK(pthread_attr_destroy(&detached));
    OK(pthread_attr_destroy(&small));
    uint64_t sum = b.sum;
    OK(pthread_mutex_unlock(&one));
    return sum;
}

static void *nest(void *depth) {
    long d = (long)depth;
    if (d == 0) return (void *)1;
    pthread_t below[2];
    long sum = 1;
    for (int i = 0; i < 2; i++) OK(pthread_create(&below[i], NULL, nest, (void *)(d - 1)));
    for (int i = 0; i < 2; i++) {
        void *end;
        OK(pthread_join(below[i], &end));
        sum += (long)end;
    }
    return (void *)sum;
}

uint64_t nested(uint64_t seed) {
    return (uint64_t)nest((void *)3) + seed;
}

static void *twice(void *x) {
    *(uint64_t *)x *= 2;
    return x;
}

/* A child has one thread, the one that forked; it may have others of its own. */
static void fork_there(member *m) {
    // The child's library may use the stacks of threads that it has not for others, and with them what `m` points to.
    uint64_t x = mix(m->seed);
    int fds[2], index = m->index;
    CHECK(pipe2(fds, O_CLOEXEC) == 0);
    pid_t parent = getpid(), child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK(getppid() == parent && tid() == getpid() && getpid() != parent && x == mix(m->seed));
        if (index == 0) {
            pthread_t other;
            OK(pthread_create(&other, NULL, twice, &x));
            OK(pthread_join(other, NULL));
        } else {
            pid_t grandchild = fork();
            if (grandchild == 0) _exit(6);
            CHECK(status_of(grandchild) == 6);
            x *= 2;
        }
        write_all(fds[1], &x, sizeof x);
        _exit(20 + index);
    }
    CHECK(read_all(fds[0], &m->result, sizeof x) == sizeof x && m->result == 2 * x);
    CHECK(status_of(child) == 20 + index && close(fds[0]) == 0 && close(fds[1]) == 0);
}

uint64_t forks(uint64_t seed) {
    return team(2, seed, fork_there, NULL);
}

static void wait_there(member *m) {
    m->result = status_of(*(pid_t *)m->shared);
}

/* One thread waits for the child of another. */
uint64_t adopted(uint64_t seed) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        sleep_ms(2);
        _exit(30 + seed % 8);
    }
    team(1, seed, wait_there, &child);
    int status;
    CHECK(waitpid(child, &status, WNOHANG) == -1 && errno == ECHILD);
    return 30 + seed % 8;
}

struct fate {
    int fds[2];
    pid_t child;
};

static void forsake(member *m) {
    struct fate *f = m->shared;
    char byte = 'r';
    f->child = fork();
    CHECK(f->child >= 0);
    if (f->child == 0) {
        CHECK(prctl(PR_SET_PDEATHSIG, SIGTERM) == 0);
        write_all(f->fds[1], &byte, 1);
        for (;;) pause();
    }
    CHECK(read_all(f->fds[0], &byte, 1) == 1);
}

/* The signal at the parent's death comes at that of the thread which forked (prctl(2), PR_SET_PDEATHSIG). */
uint64_t forsaken(uint64_t seed) {
    struct fate f;
    CHECK(pipe2(f.fds, O_CLOEXEC) == 0);
    team(1, seed, forsake, &f);
    CHECK(status_of(f.child) == 1000 + SIGTERM && close(f.fds[0]) == 0 && close(f.fds[1]) == 0);
    return seed;
}

static void spawn_there(member *m) {
    char text[32] = {0}, command[64], code[8];
    if (m->index == 0) {
        snprintf(command, sizeof command, "echo $((%d * 3)); exit 4", (int)(m->seed % 1000));
        FILE *out = popen(command, "re");
        CHECK(out && fgets(text, sizeof text, out) && atoi(text) == (int)(m->seed % 1000) * 3 && pclose(out) == 4 << 8);
    } else {
        int fds[2];
        pid_t child;
        posix_spawn_file_actions_t actions;
        CHECK(pipe2(fds, O_CLOEXEC) == 0);
        OK(posix_spawn_file_actions_init(&actions));
        OK(posix_spawn_file_actions_adddup2(&actions, fds[1], 1));
        snprintf(code, sizeof code, "%d", (int)(m->seed % 50));
        char *bad[] = {"none", NULL}, *good[] = {"threads", "leaf", code, "said", NULL};
        GIVES(ENOENT, posix_spawn(&child, "/nonexistent/program", &actions, NULL, bad, environ));
        OK(posix_spawn(&child, self, &actions, NULL, good, environ));
        CHECK(read_all(fds[0], text, 5) == 5 && memcmp(text, "said\n", 5) == 0);
        CHECK(status_of(child) == (int)(m->seed % 50) && close(fds[0]) == 0 && close(fds[1]) == 0);
        OK(posix_spawn_file_actions_destroy(&actions));
    }
    m->result = digest(DIGEST_START, text, strlen(text));
}

uint64_t spawns(uint64_t seed) {
    return team(2, seed, spawn_there, NULL);
}

struct lender {
    atomic_int done;
    atomic_ullong steps;
};

static void go_on(member *m) {
    struct lender *l = m->shared;
    while (!l->done) {
        l->steps++;
        sched_yield();
    }
    m->result = m->seed;
}

/* The one thread waits until its child is another program; the others go on in the memory that the child has meanwhile. */
uint64_t vforks(uint64_t seed) {
    struct lender l = {0};
    member m;
    char code[8];
    snprintf(code, sizeof code, "%d", (int)(seed % 40));
    scatter(&m, 1, seed, go_on, &l);
    for (int i = 0; i < 2; i++) {
        volatile unsigned long long before = l.steps;
        volatile int told = 0;
        pid_t child = vfork();
        CHECK(child >= 0);
        if (child == 0) {
            // The thread beside us is not stopped by the vfork.
            while (l.steps < before + 20);
            told = 5;
            execl(i == 0 ? self : "/nonexistent/program", "threads", "leaf", code, (char *)NULL);
            told = errno;
            _exit(98);
        }
        CHECK(told == (i == 0 ? 5 : ENOENT) && status_of(child) == (i == 0 ? (int)(seed % 40) : 98));
    }
    l.done = 1;
    return gather(&m, 1);
}

struct threadlet {
    atomic_int tid;
    atomic_int word;
    uint64_t seed, result;
};

/* Has no thread-local storage of its own: no libc here, and no check. */
__attribute__((optimize("no-stack-protector"))) static int be_threadlet(void *arg) {
    struct threadlet *t = arg;
    for (int i = 0; i < 2000; i++) t->result = mix(t->seed + t->result + i);
    atomic_store(&t->word, 1);
    long end;
    __asm__ volatile("syscall" : "=a"(end) : "a"(SYS_futex), "D"(&t->word), "S"(FUTEX_WAKE), "d"(1) : "rcx", "r11", "memory");
    return 0;
}

/* Threads that no library knows of. The kernel clears their number at their end and wakes who waits for that (clone(2)). */
uint64_t threadlets(uint64_t seed) {
    enum { STACK = 32768, COUNT = 4 };
    struct threadlet t[COUNT] = {0};
    char *stacks = mmap(NULL, STACK * COUNT, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    CHECK(stacks != MAP_FAILED);
    uint64_t h = DIGEST_START;
    for (int i = 0; i < COUNT; i++) {
        int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
        t[i].seed = seed + i;
        pid_t *at = (pid_t *)&t[i].tid;
        CHECK(clone(be_threadlet, stacks + STACK * (i + 1), flags | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID, &t[i], at, NULL, at) > 0);
    }
    for (int i = 0; i < COUNT; i++) {
        while (!atomic_load(&t[i].word)) syscall(SYS_futex, &t[i].word, FUTEX_WAIT, 0, NULL, NULL, 0);
        for (pid_t now; (now = atomic_load(&t[i].tid)) != 0;) syscall(SYS_futex, &t[i].tid, FUTEX_WAIT, now, NULL, NULL, 0);
        h = digest_u64(h, t[i].result);
    }
    CHECK(munmap(stacks, STACK * COUNT) == 0);
    return h;
}
