/* threads: what threads share in memory and wait for there. */
#include "threads.h"
#include <limits.h>
#include <linux/futex.h>
#include <semaphore.h>

static void mutex_init(pthread_mutex_t *lock, int type, int protocol, int robustness) {
    pthread_mutexattr_t attr;
    OK(pthread_mutexattr_init(&attr));
    OK(pthread_mutexattr_settype(&attr, type));
    OK(pthread_mutexattr_setprotocol(&attr, protocol));
    OK(pthread_mutexattr_setrobust(&attr, robustness));
    OK(pthread_mutex_init(lock, &attr));
    OK(pthread_mutexattr_destroy(&attr));
}

static int protocol_of(uint64_t seed) {
    return seed & 1 ? PTHREAD_PRIO_INHERIT : PTHREAD_PRIO_NONE;
}

struct counted {
    pthread_mutex_t lock;
    pthread_rwlock_t rwlock;
    pthread_spinlock_t spin;
    int type;
    uint64_t count, sum;
};

static void add_locked(member *m) {
    enum { TURNS = 300 };
    struct counted *c = m->shared;
    for (int i = 0; i < TURNS; i++) {
        OK(pthread_mutex_lock(&c->lock));
        if (c->type == PTHREAD_MUTEX_RECURSIVE) OK(pthread_mutex_lock(&c->lock));
        if (c->type == PTHREAD_MUTEX_ERRORCHECK) GIVES(EDEADLK, pthread_mutex_lock(&c->lock));
        c->count++;
        c->sum += mix(m->seed + i);
        if (i % 100 == 50) sched_yield();
        if (c->type == PTHREAD_MUTEX_RECURSIVE) OK(pthread_mutex_unlock(&c->lock));
        OK(pthread_mutex_unlock(&c->lock));
        if (c->type == PTHREAD_MUTEX_ERRORCHECK) GIVES(EPERM, pthread_mutex_unlock(&c->lock));
        m->result = mix(m->result + i);
    }
}

uint64_t mutexes(uint64_t seed) {
    static const int types[] = {PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_ERRORCHECK};
    struct counted c = {.type = types[seed % 3]};
    mutex_init(&c.lock, c.type, protocol_of(seed >> 8), seed & 512 ? PTHREAD_MUTEX_ROBUST : PTHREAD_MUTEX_STALLED);
    uint64_t h = team(4, seed, add_locked, &c);
    CHECK(c.count == 1200);
    OK(pthread_mutex_destroy(&c.lock));
    return digest_u64(h, c.sum);
}

static void read_or_write(member *m) {
    struct counted *c = m->shared;
    for (int i = 0; i < 200; i++) {
        if (m->index < 2) {
            OK(pthread_rwlock_wrlock(&c->rwlock));
            c->count++;
            if (i % 50 == 25) sched_yield();
            c->sum += 3;
        } else {
            OK(pthread_rwlock_rdlock(&c->rwlock));
            CHECK(c->sum == c->count * 3);
        }
        OK(pthread_rwlock_unlock(&c->rwlock));
    }
}

uint64_t rwlocks(uint64_t seed) {
    struct counted c = {0};
    OK(pthread_rwlock_init(&c.rwlock, NULL));
    team(4, seed, read_or_write, &c);
    OK(pthread_rwlock_destroy(&c.rwlock));
    CHECK(c.count == 400);
    return c.sum;
}

static void add_spinning(member *m) {
    struct counted *c = m->shared;
    for (int i = 0; i < 400; i++) {
        OK(pthread_spin_lock(&c->spin));
        c->sum += mix(m->seed + i);
        OK(pthread_spin_unlock(&c->spin));
    }
}

uint64_t spinlocks(uint64_t seed) {
    struct counted c = {0};
    OK(pthread_spin_init(&c.spin, PTHREAD_PROCESS_PRIVATE));
    team(2, seed, add_spinning, &c);
    OK(pthread_spin_destroy(&c.spin));
    return c.sum;
}

struct phased {
    pthread_barrier_t barrier;
    uint64_t slots[MOST_MEMBERS];
    atomic_int serial;
};
enum { PHASES = 12, PHASED = 4 };

static void in_phases(member *m) {
    struct phased *p = m->shared;
    for (int phase = 0; phase < PHASES; phase++) {
        p->slots[m->index] = mix(m->seed + phase);
        for (int half = 0; half < 2; half++) {
            int end = pthread_barrier_wait(&p->barrier);
            if (end == PTHREAD_BARRIER_SERIAL_THREAD) atomic_fetch_add(&p->serial, 1);
            else OK(end);
            if (half == 0) m->result = digest(m->result, p->slots, sizeof p->slots);
        }
    }
}

uint64_t barriers(uint64_t seed) {
    struct phased p = {0};
    OK(pthread_barrier_init(&p.barrier, NULL, PHASED));
    uint64_t h = team(PHASED, seed, in_phases, &p);
    OK(pthread_barrier_destroy(&p.barrier));
    CHECK(p.serial == PHASES * 2);
    return h;
}

struct ring {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    uint64_t turn, digest;
};
enum { RING = 3, LAPS = 15 };

/* Members take turns; some of their waits have a time limit and are made again. */
static void in_turns(member *m) {
    struct ring *r = m->shared;
    OK(pthread_mutex_lock(&r->lock));
    for (int lap = 0; lap < LAPS; lap++) {
        while (r->turn % RING != (uint64_t)m->index) {
            struct timespec at;
            deadline_in(&at, 3);
            int end = lap % 2 ? pthread_cond_wait(&r->cond, &r->lock) : pthread_cond_timedwait(&r->cond, &r->lock, &at);
            if (end == ETIMEDOUT) CHECK(now_ns(CLOCK_MONOTONIC) >= at.tv_sec * NS_PER_S + at.tv_nsec);
            else OK(end);
        }
        r->digest = digest_u64(r->digest, m->seed + r->turn++);
        OK(pthread_cond_broadcast(&r->cond));
    }
    OK(pthread_mutex_unlock(&r->lock));
}

uint64_t turns(uint64_t seed) {
    struct ring r = {.digest = DIGEST_START};
    pthread_condattr_t attr;
    OK(pthread_condattr_init(&attr));
    OK(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC));
    OK(pthread_cond_init(&r.cond, &attr));
    mutex_init(&r.lock, PTHREAD_MUTEX_NORMAL, protocol_of(seed), PTHREAD_MUTEX_STALLED);
    team(RING, seed, in_turns, &r);
    CHECK(r.turn == RING * LAPS);
    OK(pthread_cond_destroy(&r.cond));
    return r.digest;
}

struct buffer {
    sem_t room, filled, never;
    pthread_mutex_t lock;
    uint64_t slots[4];
    int in, out;
};

static void buffered(member *m) {
    enum { WORDS = 60 };
    struct buffer *b = m->shared;
    for (int i = 0; i < WORDS; i++) {
        int produces = m->index < 2;
        while (sem_wait(produces ? &b->room : &b->filled) != 0) CHECK(errno == EINTR);
        OK(pthread_mutex_lock(&b->lock));
        if (produces) b->slots[b->in++ % 4] = mix(m->seed + i);
        else m->result += b->slots[b->out++ % 4];
        OK(pthread_mutex_unlock(&b->lock));
        CHECK(sem_post(produces ? &b->filled : &b->room) == 0);
    }
    struct timespec at;
    deadline_in(&at, 2);
    CHECK(sem_clockwait(&b->never, CLOCK_MONOTONIC, &at) == -1 && errno == ETIMEDOUT);
    CHECK(now_ns(CLOCK_MONOTONIC) >= at.tv_sec * NS_PER_S + at.tv_nsec);
}

/* Who of the two takes a word is a matter of time; what both have taken is not. */
uint64_t semaphores(uint64_t seed) {
    struct buffer b = {.lock = PTHREAD_MUTEX_INITIALIZER};
    CHECK(sem_init(&b.room, 0, 4) == 0 && sem_init(&b.filled, 0, 0) == 0 && sem_init(&b.never, 0, 0) == 0);
    member members[4];
    scatter(members, 4, seed, buffered, &b);
    gather(members, 4);
    CHECK(b.in == 120 && b.out == 120);
    return members[2].result + members[3].result;
}

struct mortal {
    pthread_mutex_t lock;
    sem_t held, go;
    int dies_waited;
};

/* Ends without giving its lock back. */
static void die_holding(member *m) {
    struct mortal *d = m->shared;
    OK(pthread_mutex_lock(&d->lock));
    CHECK(sem_post(&d->held) == 0);
    while (sem_wait(&d->go) != 0) CHECK(errno == EINTR);
    if (d->dies_waited) sleep_ms(2);
    m->result = 5;
    pthread_exit(m);
}

/* The next owner learns of the death, whether it waited for the lock then or came after; who unlocks it unmended ends it for all. */
uint64_t robust(uint64_t seed) {
    for (int round = 0; round < 4; round++) {
        struct mortal d = {.dies_waited = round & 1};
        CHECK(sem_init(&d.held, 0, 0) == 0 && sem_init(&d.go, 0, 0) == 0);
        mutex_init(&d.lock, PTHREAD_MUTEX_NORMAL, protocol_of(seed + round / 2), PTHREAD_MUTEX_ROBUST);
        member owner;
        scatter(&owner, 1, seed, die_holding, &d);
        while (sem_wait(&d.held) != 0) CHECK(errno == EINTR);
        GIVES(EBUSY, pthread_mutex_trylock(&d.lock));
        CHECK(sem_post(&d.go) == 0);
        if (!d.dies_waited) gather(&owner, 1);
        GIVES(EOWNERDEAD, pthread_mutex_lock(&d.lock));
        if (d.dies_waited) gather(&owner, 1);
        if (round < 2) {
            OK(pthread_mutex_consistent(&d.lock));
            OK(pthread_mutex_unlock(&d.lock));
            OK(pthread_mutex_lock(&d.lock));
            OK(pthread_mutex_unlock(&d.lock));
        } else {
            OK(pthread_mutex_unlock(&d.lock));
            GIVES(ENOTRECOVERABLE, pthread_mutex_lock(&d.lock));
        }
        OK(pthread_mutex_destroy(&d.lock));
    }
    return seed;
}

struct inheritance {
    pthread_mutex_t lock;
    uint64_t next, digest;
};

static void inherit(member *m) {
    struct inheritance *h = m->shared;
    for (int i = 0; i < 20;) {
        int end = pthread_mutex_lock(&h->lock);
        if (end == EOWNERDEAD) OK(pthread_mutex_consistent(&h->lock));
        else OK(end);
        if (h->next % 4 == (uint64_t)m->index) {
            h->digest = digest_u64(h->digest, m->seed + h->next++);
            i++;
        }
        if (i == 20) {
            m->result = 1;
            pthread_exit(m);
        }
        OK(pthread_mutex_unlock(&h->lock));
    }
}

/* A lock that goes from dead owner to dead owner while others wait for it in the kernel (futex words hold TIDs). */
uint64_t heirs(uint64_t seed) {
    struct inheritance h = {.digest = DIGEST_START};
    mutex_init(&h.lock, PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_INHERIT, PTHREAD_MUTEX_ROBUST);
    team(4, seed, inherit, &h);
    GIVES(EOWNERDEAD, pthread_mutex_lock(&h.lock));
    OK(pthread_mutex_consistent(&h.lock));
    OK(pthread_mutex_unlock(&h.lock));
    CHECK(h.next == 80);
    return h.digest;
}

static long futex(atomic_int *word, int op, int value, const void *timeout, atomic_int *other, int bits) {
    return syscall(SYS_futex, word, op, value, timeout, other, bits);
}

struct words {
    atomic_int first, second, waiting;
};

static void wait_there(member *m) {
    struct words *w = m->shared;
    atomic_fetch_add(&w->waiting, 1);
    while (atomic_load(&w->first) == 0) {
        if (futex(&w->first, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0) != 0) CHECK(errno == EAGAIN || errno == EINTR);
    }
    m->result = mix(m->seed);
}

/* Waits with limits, and waiters that are moved from one word to another. */
uint64_t futexes(uint64_t seed) {
    struct words w = {0};
    struct timespec limit = {0, 3 * NS_PER_MS}, at;
    uint64_t before = now_ns(CLOCK_MONOTONIC);
    // A wake that was meant for what lay here before may still come.
    while (futex(&w.second, FUTEX_WAIT, 0, &limit, NULL, 0) == 0 || errno == EINTR);
    CHECK(errno == ETIMEDOUT && now_ns(CLOCK_MONOTONIC) - before >= 3 * NS_PER_MS);
    deadline_in(&at, 3);
    while (futex(&w.second, FUTEX_WAIT_BITSET_PRIVATE, 0, &at, NULL, 1) == 0 || errno == EINTR);
    CHECK(errno == ETIMEDOUT && now_ns(CLOCK_MONOTONIC) >= at.tv_sec * NS_PER_S + at.tv_nsec);
    CHECK(futex(&w.second, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0) == -1 && errno == EAGAIN);
    CHECK(futex(&w.second, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0) == 0);
    member members[3];
    scatter(members, 3, seed, wait_there, &w);
    while (atomic_load(&w.waiting) < 3) sched_yield();
    // They wait soon; those that the requeue does not find look at the word themselves.
    long moved = futex(&w.first, FUTEX_CMP_REQUEUE_PRIVATE, 0, (void *)(long)INT_MAX, &w.second, 0);
    CHECK(moved >= 0 && moved <= 3);
    atomic_store(&w.first, 1);
    futex(&w.first, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
    CHECK(futex(&w.second, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0) <= moved);
    return gather(members, 3);
}
