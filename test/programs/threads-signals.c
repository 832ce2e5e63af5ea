/* threads: signals to threads and to the process, faults, and cancellation. */
#include "threads.h"
#include <poll.h>
#include <semaphore.h>
#include <setjmp.h>
#include <sys/mman.h>

static __thread volatile sig_atomic_t restarting, interrupting, values, value_sum;
static __thread sigjmp_buf *landing;
static __thread char *volatile fault_at, *volatile alternate;
static _Atomic pid_t taker;
static sem_t took;

static void on_usr1(int n UNUSED) { restarting++; }
static void on_usr2(int n UNUSED) { interrupting++; }
static void on_value(int n UNUSED, siginfo_t *info, void *c UNUSED) {
    values++;
    value_sum += info->si_value.sival_int;
}
static void on_taken(int n UNUSED) {
    int saved = errno;
    taker = tid();
    sem_post(&took);
    errno = saved;
}

enum { ALTERNATE = 65536 };
static void on_fault(int n, siginfo_t *info, void *c UNUSED) {
    char here;
    if (!landing) {
        signal(n, SIG_DFL);
        return;
    }
    if (alternate) CHECK(&here >= alternate && &here < alternate + ALTERNATE);
    if (n == SIGSEGV) CHECK((char *)info->si_addr == fault_at && info->si_code == SEGV_ACCERR);
    else CHECK(info->si_code == FPE_INTDIV);
    siglongjmp(*landing, n);
}

__attribute__((constructor)) static void handlers(void) {
    CHECK(sem_init(&took, 0, 0) == 0);
    struct sigaction a = {.sa_handler = on_usr1, .sa_flags = SA_RESTART};
    CHECK(sigaction(SIGUSR1, &a, NULL) == 0);
    a = (struct sigaction){.sa_handler = on_usr2};
    CHECK(sigaction(SIGUSR2, &a, NULL) == 0);
    a = (struct sigaction){.sa_handler = on_taken, .sa_flags = SA_RESTART};
    CHECK(sigaction(SIG_TAKEN, &a, NULL) == 0);
    a = (struct sigaction){.sa_sigaction = on_value, .sa_flags = SA_RESTART | SA_SIGINFO};
    CHECK(sigaction(SIG_VALUE, &a, NULL) == 0);
    a = (struct sigaction){.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    CHECK(sigaction(SIGSEGV, &a, NULL) == 0 && sigaction(SIGFPE, &a, NULL) == 0);
}

struct post {
    sem_t ready;
    _Atomic pid_t tids[MOST_MEMBERS];
    int fds[2];
};

static void wait_for(sem_t *sem) {
    while (sem_wait(sem) != 0) CHECK(errno == EINTR);
}

static siginfo_t wait_signal(int signal) {
    sigset_t set;
    siginfo_t info;
    sigemptyset(&set);
    sigaddset(&set, signal);
    while (sigwaitinfo(&set, &info) < 0) CHECK(errno == EINTR);
    CHECK(info.si_signo == signal && info.si_pid == getpid() && info.si_uid == getuid());
    return info;
}

static void answer_directed(member *m) {
    struct post *p = m->shared;
    change_mask(SIG_UNBLOCK, SIGUSR1);
    p->tids[m->index] = tid();
    CHECK(sem_post(&p->ready) == 0);
    for (int i = 0; i < 5; i++) {
        int code = wait_signal(SIG_WAITED).si_code;
        // glibc says SI_USER of both.
        CHECK((code == SI_TKILL || code == SI_USER) && sem_post(&p->ready) == 0);
    }
    wait_signal(SIG_WAITED);
    // What was sent before is there before.
    CHECK(restarting == 1 && interrupting == 0);
    m->result = m->seed;
}

uint64_t directed(uint64_t seed) {
    struct post p = {0};
    CHECK(sem_init(&p.ready, 0, 0) == 0);
    member members[3];
    scatter(members, 3, seed, answer_directed, &p);
    for (int i = 0; i < 3; i++) wait_for(&p.ready);
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 3; i++) {
            if (round % 2) CHECK(syscall(SYS_tgkill, getpid(), p.tids[i], SIG_WAITED) == 0);
            else OK(pthread_kill(members[i].thread, SIG_WAITED));
        }
        for (int i = 0; i < 3; i++) wait_for(&p.ready);
    }
    for (int i = 0; i < 3; i++) {
        OK(pthread_kill(members[i].thread, SIGUSR2));
        OK(pthread_kill(members[i].thread, SIGUSR1));
        OK(pthread_kill(members[i].thread, SIG_WAITED));
    }
    return gather(members, 3);
}

/* Values come in order, each to its thread. */
static void take_values(member *m) {
    struct post *p = m->shared;
    p->tids[m->index] = tid();
    for (int i = 0; i < 10; i++) {
        siginfo_t info = wait_signal(SIG_WAITED);
        CHECK(info.si_code == SI_QUEUE && info.si_value.sival_int == m->index * 100 + i);
        m->result = digest_u64(m->result, info.si_value.sival_int);
    }
}

uint64_t queued(uint64_t seed) {
    struct post p = {0};
    member members[3];
    scatter(members, 3, seed, take_values, &p);
    for (int i = 0; i < 10; i++) {
        for (int k = 0; k < 3; k++) OK(pthread_sigqueue(members[k].thread, SIG_WAITED, (union sigval){.sival_int = k * 100 + i}));
    }
    return gather(members, 3);
}

static void take_all(member *m) {
    struct post *p = m->shared;
    change_mask(SIG_UNBLOCK, SIG_TAKEN);
    p->tids[0] = tid();
    CHECK(sem_post(&p->ready) == 0);
    char byte;
    // A handler with SA_RESTART does not end it.
    CHECK(read(p->fds[0], &byte, 1) == 1 && byte == 'x');
    change_mask(SIG_BLOCK, SIG_TAKEN);
    m->result = m->seed;
}

/* A signal to the process, which one of its threads lets in: that takes it. One such act at a time. */
uint64_t taken(uint64_t seed) {
    static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;
    OK(pthread_mutex_lock(&one));
    struct post p = {0};
    CHECK(sem_init(&p.ready, 0, 0) == 0 && pipe2(p.fds, O_CLOEXEC) == 0);
    member m;
    scatter(&m, 1, seed, take_all, &p);
    wait_for(&p.ready);
    for (int i = 0; i < 8; i++) {
        taker = 0;
        CHECK(kill(getpid(), SIG_TAKEN) == 0);
        wait_for(&took);
        CHECK(taker == p.tids[0]);
    }
    write_all(p.fds[1], "x", 1);
    uint64_t h = gather(&m, 1);
    CHECK(close(p.fds[0]) == 0 && close(p.fds[1]) == 0);
    OK(pthread_mutex_unlock(&one));
    return h;
}

static void share_values(member *m) {
    for (int value; (value = wait_signal(SIG_SHARED).si_value.sival_int) != 0;) m->result += value;
}

/* Signals to the process, with several threads that wait for them: each signal goes to one. */
uint64_t shared(uint64_t seed) {
    static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;
    OK(pthread_mutex_lock(&one));
    member members[3];
    uint64_t sum = 0;
    scatter(members, 3, seed, share_values, NULL);
    for (int i = 1; i <= 15; i++) CHECK(sigqueue(getpid(), SIG_SHARED, (union sigval){.sival_int = i}) == 0);
    for (int i = 0; i < 3; i++) CHECK(sigqueue(getpid(), SIG_SHARED, (union sigval){.sival_int = 0}) == 0);
    gather(members, 3);
    for (int i = 0; i < 3; i++) sum += members[i].result;
    OK(pthread_mutex_unlock(&one));
    return sum;
}

/* Two take turns by signals that are let in while they wait only. */
static void play(member *m) {
    struct post *p = m->shared;
    p->tids[m->index] = tid();
    while (!p->tids[1 - m->index]) sched_yield();
    sigset_t open;
    OK(pthread_sigmask(SIG_BLOCK, NULL, &open));
    sigdelset(&open, SIGUSR1);
    restarting = 0;
    for (int i = 1; i <= 12; i++) {
        if (m->index == 0) CHECK(syscall(SYS_tgkill, getpid(), p->tids[1], SIGUSR1) == 0);
        while (restarting < i) CHECK(sigsuspend(&open) == -1 && errno == EINTR);
        CHECK(restarting == i);
        if (m->index == 1) CHECK(syscall(SYS_tgkill, getpid(), p->tids[0], SIGUSR1) == 0);
    }
    m->result = m->seed;
}

uint64_t partners(uint64_t seed) {
    struct post p = {0};
    return team(2, seed, play, &p);
}

/* A read gives what was written after a signal: the signal's handler has run by then. It is never interrupted, but begun again. */
static void read_ordered(member *m) {
    struct post *p = m->shared;
    change_mask(SIG_UNBLOCK, SIG_VALUE);
    values = value_sum = 0;
    CHECK(sem_post(&p->ready) == 0);
    for (int i = 1; i <= 15; i++) {
        int x;
        CHECK(read(p->fds[0], &x, sizeof x) == sizeof x && x == i);
        CHECK(values >= i && value_sum >= i * (i + 1) / 2);
    }
    change_mask(SIG_BLOCK, SIG_VALUE);
    m->result = m->seed + value_sum;
}

uint64_t ordered(uint64_t seed) {
    struct post p = {0};
    CHECK(sem_init(&p.ready, 0, 0) == 0 && pipe2(p.fds, O_CLOEXEC) == 0);
    member m;
    scatter(&m, 1, seed, read_ordered, &p);
    wait_for(&p.ready);
    for (int i = 1; i <= 15; i++) {
        OK(pthread_sigqueue(m.thread, SIG_VALUE, (union sigval){.sival_int = i}));
        write_all(p.fds[1], &i, sizeof i);
    }
    uint64_t h = gather(&m, 1);
    CHECK(close(p.fds[0]) == 0 && close(p.fds[1]) == 0);
    return h;
}

/* Handlers without SA_RESTART end calls or come between them; no byte is lost by that. */
static void read_interrupted(member *m) {
    struct post *p = m->shared;
    change_mask(SIG_UNBLOCK, SIGUSR2);
    interrupting = 0;
    CHECK(sem_post(&p->ready) == 0);
    for (int i = 1; i <= 20; i++) {
        int x;
        CHECK(read_all(p->fds[0], &x, sizeof x) == sizeof x && x == i);
        struct timespec short_time = {0, NS_PER_MS / 4};
        if (i % 5 == 0 && nanosleep(&short_time, &short_time) != 0) CHECK(errno == EINTR);
    }
    change_mask(SIG_BLOCK, SIGUSR2);
    CHECK(interrupting >= 1 && interrupting <= 40);
    m->result = m->seed;
}

uint64_t interrupted(uint64_t seed) {
    struct post p = {0};
    CHECK(sem_init(&p.ready, 0, 0) == 0 && pipe2(p.fds, O_CLOEXEC) == 0);
    member m;
    scatter(&m, 1, seed, read_interrupted, &p);
    wait_for(&p.ready);
    for (int i = 1; i <= 20; i++) {
        for (int k = 0; k < 2; k++) OK(pthread_kill(m.thread, SIGUSR2));
        write_all(p.fds[1], &i, sizeof i);
        if (i % 4 == 0) sleep_ms(1);
    }
    uint64_t h = gather(&m, 1);
    CHECK(close(p.fds[0]) == 0 && close(p.fds[1]) == 0);
    return h;
}

/* Faults are taken on the thread's own alternate stack, and left by a jump. */
static void fault(member *m) {
    sigjmp_buf buffer;
    sigset_t mask;
    volatile int count = 0;
    alternate = mmap(NULL, ALTERNATE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    fault_at = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(alternate != MAP_FAILED && fault_at != MAP_FAILED);
    stack_t stack = {.ss_sp = alternate, .ss_size = ALTERNATE}, was;
    CHECK(sigaltstack(&stack, &was) == 0);
    landing = &buffer;
    for (volatile int i = 0; i < 10; i++) {
        int signal = sigsetjmp(buffer, 1);
        if (signal == 0 && i % 2 == 0) *(volatile char *)fault_at = 1;
        else if (signal == 0) __asm__ volatile("xor %%edx, %%edx; mov $1, %%eax; idivl %0" : : "r"(0) : "eax", "edx");
        CHECK(signal == (i % 2 ? SIGFPE : SIGSEGV));
        OK(pthread_sigmask(SIG_BLOCK, NULL, &mask));
        CHECK(!sigismember(&mask, SIGSEGV) && !sigismember(&mask, SIGFPE) && sigismember(&mask, SIGUSR1));
        CHECK(sigaltstack(NULL, &stack) == 0 && stack.ss_sp == alternate && stack.ss_flags == 0);
        count++;
    }
    landing = NULL;
    stack.ss_flags = SS_DISABLE;
    CHECK(sigaltstack(&stack, NULL) == 0 && munmap(alternate, ALTERNATE) == 0 && munmap(fault_at, 4096) == 0);
    m->result = m->seed + count;
}

uint64_t faults(uint64_t seed) {
    return team(3, seed, fault, NULL);
}

struct doomed {
    sem_t entered, never;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    int fds[2], kind;
    atomic_int cleaned;
};

static void clean(void *shared) {
    atomic_fetch_add(&((struct doomed *)shared)->cleaned, 1);
}
static void unlock(void *shared) {
    OK(pthread_mutex_unlock(&((struct doomed *)shared)->lock));
}

static void *wait_forever(void *shared) {
    struct doomed *d = shared;
    char byte;
    sigset_t none;
    sigemptyset(&none);
    sigaddset(&none, SIG_WAITED);
    pthread_cleanup_push(clean, d);
    CHECK(sem_post(&d->entered) == 0);
    switch (d->kind) {
        case 0: read(d->fds[0], &byte, 1); break;
        case 1: pause(); break;
        case 2:
            OK(pthread_mutex_lock(&d->lock));
            pthread_cleanup_push(unlock, d);
            for (;;) OK(pthread_cond_wait(&d->cond, &d->lock));
            pthread_cleanup_pop(1);
            break;
        case 3: sleep(PATIENCE_S); break;
        case 4: sem_wait(&d->never); break;
        case 5: poll(&(struct pollfd){.fd = d->fds[0], .events = POLLIN}, 1, -1); break;
        case 6: while (sigwaitinfo(&none, NULL) == -1 && errno == EINTR); break;
        case 7:
            OK(pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL));
            for (volatile uint64_t x = 0;; x++);
        default:
            OK(pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL));
            sleep_ms(2);
            CHECK(write(d->fds[1], "z", 1) == 1);
            OK(pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL));
            for (;;) pthread_testcancel();
    }
    pthread_cleanup_pop(1);
    CHECK(!"it came back from where it is to be cancelled");
    return NULL;
}

/* Cancelled wherever it waits or computes; its handlers run. */
uint64_t cancels(uint64_t seed) {
    enum { KINDS = 9 };
    struct doomed d[KINDS];
    pthread_t threads[KINDS];
    for (int i = 0; i < KINDS; i++) {
        d[i] = (struct doomed){.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER, .kind = i};
        CHECK(sem_init(&d[i].entered, 0, 0) == 0 && sem_init(&d[i].never, 0, 0) == 0 && pipe2(d[i].fds, O_CLOEXEC) == 0);
        OK(pthread_create(&threads[i], NULL, wait_forever, &d[i]));
    }
    for (int i = 0; i < KINDS; i++) wait_for(&d[i].entered);
    if (seed & 1) sleep_ms(2);
    for (int i = 0; i < KINDS; i++) OK(pthread_cancel(threads[i]));
    for (int i = 0; i < KINDS; i++) {
        void *end;
        char byte;
        OK(pthread_join(threads[i], &end));
        CHECK(end == PTHREAD_CANCELED && d[i].cleaned == 1);
        OK(pthread_mutex_trylock(&d[i].lock));
        if (i == 8) CHECK(read(d[i].fds[0], &byte, 1) == 1 && byte == 'z');
        CHECK(close(d[i].fds[0]) == 0 && close(d[i].fds[1]) == 0);
    }
    return seed;
}

/* Waits for signals that do not come last at least as long as they may. An ignored signal can interrupt them, as SIGCHLD. */
static void wait_in_vain(member *m) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIG_WAITED);
    struct timespec limit = {0, (1 + m->index) * NS_PER_MS};
    for (int i = 0; i < 3; i++) {
        uint64_t before = now_ns(CLOCK_MONOTONIC);
        while (sigtimedwait(&set, NULL, &limit) == -1 && errno == EINTR) before = now_ns(CLOCK_MONOTONIC);
        CHECK(errno == EAGAIN && now_ns(CLOCK_MONOTONIC) - before >= (uint64_t)limit.tv_nsec);
    }
    m->result = m->seed;
}

uint64_t waits(uint64_t seed) {
    return team(3, seed, wait_in_vain, NULL);
}
