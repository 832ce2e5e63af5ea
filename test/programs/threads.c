/*
 * threads ROUNDS [SEED [PAUSE_MS [ACT...]]]: threads that share, wait, signal, start and end each other and processes, in many ways; says
 * what each round came to. Begins after PAUSE_MS ms, with some threads already there that go on through all rounds.
 * Every act is checked by itself, so any line that differs between two runs is wrong. Other modes: threads-ends.c.
 */
#include "threads.h"

const char *self;

static void *be_member(void *arg) {
    member *m = arg;
    m->work(m);
    return m;
}

void scatter(member *members, int n, uint64_t seed, void (*work)(member *), void *shared) {
    CHECK(n <= MOST_MEMBERS);
    for (int i = 0; i < n; i++) {
        members[i] = (member){.work = work, .shared = shared, .seed = mix(seed + i), .index = i};
        OK(pthread_create(&members[i].thread, NULL, be_member, &members[i]));
    }
}

uint64_t gather(member *members, int n) {
    uint64_t h = DIGEST_START;
    for (int i = 0; i < n; i++) {
        void *end;
        OK(pthread_join(members[i].thread, &end));
        CHECK(end == &members[i]);
        h = digest_u64(h, members[i].result);
    }
    return h;
}

uint64_t team(int n, uint64_t seed, void (*work)(member *), void *shared) {
    member members[MOST_MEMBERS];
    scatter(members, n, seed, work, shared);
    return gather(members, n);
}

void change_mask(int how, int signal) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal);
    OK(pthread_sigmask(how, &set, NULL));
}

void deadline_in(struct timespec *at, long ms) {
    uint64_t ns = now_ns(CLOCK_MONOTONIC) + ms * NS_PER_MS;
    *at = (struct timespec){ns / NS_PER_S, ns % NS_PER_S};
}

static const struct {
    const char *name;
    act *run;
} ACTS[] = {
    {"mutexes", mutexes}, {"rwlocks", rwlocks}, {"spinlocks", spinlocks}, {"barriers", barriers}, {"turns", turns},
    {"semaphores", semaphores}, {"robust", robust}, {"heirs", heirs}, {"futexes", futexes}, {"pipes", pipes},
    {"bulk", bulk}, {"events", events}, {"sockets", sockets}, {"polls", polls}, {"locks", locks}, {"calls", calls},
    {"maps", maps}, {"sleeps", sleeps}, {"timers", timers}, {"clocks", clocks}, {"directed", directed}, {"queued", queued},
    {"taken", taken}, {"shared", shared}, {"partners", partners}, {"ordered", ordered}, {"interrupted", interrupted},
    {"faults", faults}, {"cancels", cancels}, {"waits", waits}, {"tids", tids}, {"locals", locals}, {"bursts", bursts},
    {"nested", nested}, {"forks", forks}, {"adopted", adopted}, {"forsaken", forsaken}, {"spawns", spawns},
    {"vforks", vforks}, {"threadlets", threadlets},
};
enum { ALL = sizeof ACTS / sizeof ACTS[0], LANES = 3, A_LANE = 8, TIMES = 2 };

/* Those that are there from the beginning to the end: one that reads, one that waits for a condition, one that sleeps and computes. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    int to[2], from[2], round, over;
    uint64_t beats;
} band = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};

static void play_on(member *m) {
    static __thread uint64_t mine;
    pid_t number = tid(), process = getpid();
    mine = m->seed;
    uint64_t time = now_ns(CLOCK_MONOTONIC), beats = 0, x;
    OK(pthread_mutex_lock(&band.lock));
    while (!band.over) {
        if (m->index == 1) OK(pthread_cond_wait(&band.cond, &band.lock));
        OK(pthread_mutex_unlock(&band.lock));
        if (m->index == 0 && read_all(band.to[0], &x, sizeof x) == sizeof x) {
            x = mix(x);
            write_all(band.from[1], &x, sizeof x);
        } else if (m->index == 2) {
            for (int i = 0; i < 2000; i++) beats = mix(beats + i) | 1;
            sleep_ms(1);
        }
        uint64_t now = now_ns(CLOCK_MONOTONIC);
        CHECK(now >= time && tid() == number && getpid() == process && mine == m->seed);
        time = now;
        OK(pthread_mutex_lock(&band.lock));
        band.beats += m->index == 2;
    }
    OK(pthread_mutex_unlock(&band.lock));
    m->result = mine;
}

static void signal_band(int over) {
    OK(pthread_mutex_lock(&band.lock));
    band.round++;
    band.over = over;
    OK(pthread_cond_signal(&band.cond));
    OK(pthread_mutex_unlock(&band.lock));
}

struct lane {
    const int *acts;
    uint64_t results[A_LANE];
};

static void run_lane(member *m) {
    struct lane *lane = (struct lane *)m->shared + m->index;
    for (int i = 0; i < A_LANE; i++) {
        for (int k = 0; k < TIMES; k++) {
            uint64_t came_to = ACTS[lane->acts[i]].run(mix(m->seed + i * TIMES + k));
            lane->results[i] = digest_u64(lane->results[i], came_to);
        }
    }
    m->result = digest(DIGEST_START, lane->results, sizeof lane->results);
}

static int chosen(const char *name) {
    for (int i = 0; i < ALL; i++) if (strcmp(ACTS[i].name, name) == 0) return i;
    usage("threads: no such act");
}

/* The next act: all in an order of chance, then all in another. */
static int deal(int *deck, int n, int *dealt) {
    if (*dealt % n == 0) {
        for (int i = n - 1; i > 0; i--) {
            int other = rnd_below(i + 1), was = deck[i];
            deck[i] = deck[other];
            deck[other] = was;
        }
    }
    return deck[(*dealt)++ % n];
}

int main(int argc, char **argv) {
    static char path[4096];
    CHECK(readlink("/proc/self/exe", path, sizeof path - 1) > 0);
    self = path;
    if (argc > 2 && strcmp(argv[1], "leaf") == 0) {
        if (argc > 3) say("%s", argv[3]);
        return atoi(argv[2]);
    }
    if (argc > 3 && strcmp(argv[1], "heir") == 0) return heir(atoi(argv[2]), atoi(argv[3]));
    if (argc < 2) {
        usage("threads ROUNDS [SEED [PAUSE_MS [ACT...]]] | threads leader|group|return|exec|crash|tasks|apart|wait [PAUSE_MS [SIGNAL]]");
    }
    const int blocked[] = {SIGUSR1, SIGUSR2, SIG_TAKEN, SIG_WAITED, SIG_TIMER, SIG_VALUE, SIG_SHARED};
    for (unsigned i = 0; i < sizeof blocked / sizeof blocked[0]; i++) change_mask(SIG_BLOCK, blocked[i]);
    if (argv[1][0] >= 'a' && argv[1][0] <= 'z') end_by(argv[1], argc, argv);
    long rounds = number(argc, argv, 1, 5);
    rng_state = number(argc, argv, 2, 1);
    int deck[ALL], n = argc > 4 ? 0 : ALL, dealt = 0;
    for (int i = 4; i < argc && n < ALL; i++) deck[n++] = chosen(argv[i]);
    if (argc <= 4) for (int i = 0; i < ALL; i++) deck[i] = i;

    member players[3];
    CHECK(pipe2(band.to, O_CLOEXEC) == 0 && pipe2(band.from, O_CLOEXEC) == 0);
    scatter(players, 3, rng_state, play_on, NULL);
    say("ready");
    sleep_ms(number(argc, argv, 3, 0));
    for (long i = 0; i < rounds; i++) {
        int acts[LANES * A_LANE];
        struct lane lanes[LANES] = {0};
        char names[400] = "";
        for (int k = 0; k < LANES * A_LANE; k++) {
            acts[k] = deal(deck, n, &dealt);
            snprintf(names + strlen(names), sizeof names - strlen(names), " %s", ACTS[acts[k]].name);
        }
        for (int k = 0; k < LANES; k++) lanes[k].acts = acts + k * A_LANE;
        uint64_t token = rnd(), back;
        write_all(band.to[1], &token, sizeof token);
        uint64_t h = team(LANES, rnd(), run_lane, lanes);
        CHECK(read_all(band.from[0], &back, sizeof back) == sizeof back && back == mix(token));
        signal_band(0);
        say("round %ld:%s %016llx", i, names, (unsigned long long)digest_u64(h, back));
    }
    signal_band(1);
    write_all(band.to[1], &(uint64_t){0}, sizeof(uint64_t));
    uint64_t h = gather(players, 3);
    CHECK(waitpid(-1, NULL, 0) == -1 && errno == ECHILD);
    say("done %016llx", (unsigned long long)h);
    return 0;
}
