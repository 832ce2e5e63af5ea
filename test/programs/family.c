/*
 * family ROUNDS [SEED [PAUSE]]: processes that fork, wait, signal, and become others, in many ways; says what each round came to.
 * Begins after PAUSE ms.
 * Every round is checked by itself, so any line that differs between two runs is wrong.
 */
#include "common.h"
#include <sched.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>

extern char **environ;
static const char *self;

/* Memory of one's own after fork, a tree three deep, exit codes all the way up. */
static int tree(int depth) {
    if (depth == 0) return 1;
    volatile int mine = depth * 10;
    int sum = 1;
    for (int i = 0; i < 2; i++) {
        pid_t parent = getpid();
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            CHECK(getppid() == parent && getpid() != parent && (pid_t)syscall(SYS_gettid) == getpid());
            mine++;
            int below = tree(depth - 1);
            CHECK(mine == depth * 10 + 1);
            _exit(below);
        }
        sum += status_of(child);
    }
    CHECK(mine == depth * 10);
    return sum;
}

/* A pipeline of four, data through all. */
static uint64_t pipeline(uint64_t seed) {
    enum { STAGES = 4, WORDS = 3000 };
    int in = -1;
    pid_t children[STAGES];
    for (int s = 0; s < STAGES; s++) {
        int fds[2];
        CHECK(pipe2(fds, O_CLOEXEC) == 0);
        children[s] = fork();
        CHECK(children[s] >= 0);
        if (children[s] == 0) {
            close(fds[0]);
            for (uint64_t i = 0; i < WORDS; i++) {
                uint64_t x = seed + i;
                if (s > 0 && read_all(in, &x, sizeof x) != sizeof x) _exit(9);
                x = mix(x + s);
                write_all(fds[1], &x, sizeof x);
            }
            _exit(s);
        }
        if (in >= 0) close(in);
        close(fds[1]);
        in = fds[0];
    }
    uint64_t h = DIGEST_START, x;
    int n = 0;
    for (; read_all(in, &x, sizeof x) == sizeof x; n++) h = digest_u64(h, x);
    CHECK(n == WORDS);
    close(in);
    for (int s = 0; s < STAGES; s++) CHECK(status_of(children[s]) == s);
    return h;
}

static volatile sig_atomic_t usr1, chld;
static void on_usr1(int n UNUSED) { usr1++; }
static void on_chld(int n UNUSED) { chld++; }

/* Parent and child take turns by signals that are let in while they wait only. */
static void ping_pong(int turns) {
    sigset_t set, old;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    CHECK(sigprocmask(SIG_BLOCK, &set, &old) == 0);
    usr1 = 0;
    pid_t parent = getpid();
    pid_t child = fork_partner();
    pid_t other = child == 0 ? parent : child;
    if (child != 0) CHECK(kill(other, SIGUSR1) == 0);
    for (int i = 1; i <= turns; i++) {
        while (usr1 < i) CHECK(sigsuspend(&old) == -1 && errno == EINTR);
        if (child != 0 && i == turns) break;
        CHECK(kill(other, SIGUSR1) == 0);
    }
    if (child == 0) _exit(11);
    CHECK(status_of(child) == 11);
    CHECK(sigprocmask(SIG_SETMASK, &old, NULL) == 0);
}

/* The memory is one until the child has become another: vfork(2). */
static void borrowed(void) {
    volatile int told = 0;
    char code[8];
    snprintf(code, sizeof code, "%d", 21);
    pid_t child = vfork();
    CHECK(child >= 0);
    if (child == 0) {
        told = 5;
        execl(self, "family", "leaf", code, (char *)NULL);
        _exit(99);
    }
    CHECK(told == 5);
    CHECK(status_of(child) == 21);
    child = vfork();
    if (child == 0) {
        told = 6;
        execl("/nonexistent/program", "x", (char *)NULL);
        told = errno;
        _exit(98);
    }
    CHECK(told == ENOENT && status_of(child) == 98);
}

/* posix_spawn(3) tells of a failed exec through the memory that is shared. */
static void spawned(void) {
    posix_spawn_file_actions_t actions;
    CHECK(posix_spawn_file_actions_init(&actions) == 0);
    int fds[2];
    CHECK(pipe2(fds, O_CLOEXEC) == 0);
    CHECK(posix_spawn_file_actions_adddup2(&actions, fds[1], 1) == 0);
    char *bad[] = {"none", NULL}, *good[] = {"family", "leaf", "3", "said", NULL};
    pid_t child;
    CHECK(posix_spawn(&child, "/nonexistent/program", &actions, NULL, bad, environ) == ENOENT);
    CHECK(posix_spawn(&child, self, &actions, NULL, good, environ) == 0);
    close(fds[1]);
    char text[16] = {0};
    CHECK(read_all(fds[0], text, sizeof text - 1) == 5 && memcmp(text, "said\n", 5) == 0);
    close(fds[0]);
    CHECK(status_of(child) == 3);
    posix_spawn_file_actions_destroy(&actions);
}

/* Groups, orphans that a subreaper inherits, deaths by signal, stops that are waited for. */
static void relations(void) {
    pid_t leader = fork();
    if (leader == 0) {
        CHECK(setpgid(0, 0) == 0);
        for (;;) pause();
    }
    CHECK(setpgid(leader, leader) == 0 || errno == EACCES);
    pid_t second = fork();
    if (second == 0) for (;;) pause();
    CHECK(setpgid(second, leader) == 0 && getpgid(second) == leader);
    int status;
    CHECK(kill(-leader, SIGSTOP) == 0);
    CHECK(waitpid(leader, &status, WUNTRACED) == leader && WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    CHECK(waitpid(second, &status, WUNTRACED) == second && WIFSTOPPED(status));
    CHECK(kill(-leader, SIGCONT) == 0);
    CHECK(waitpid(leader, &status, WCONTINUED) == leader && WIFCONTINUED(status));
    CHECK(kill(-leader, SIGTERM) == 0);
    CHECK(status_of(leader) == 1000 + SIGTERM && status_of(second) == 1000 + SIGTERM);

    CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
    pid_t elder = getpid();
    pid_t middle = fork();
    if (middle == 0) {
        pid_t first = getpid();
        pid_t orphan = fork();
        if (orphan == 0) {
            while (getppid() == first) sleep_ms(1);
            _exit(getppid() == elder ? 33 : 34);
        }
        _exit(0);
    }
    CHECK(status_of(middle) == 0);
    CHECK(waitpid(-1, &status, 0) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 33);
    CHECK(waitpid(-1, &status, 0) == -1 && errno == ECHILD);
    CHECK(prctl(PR_SET_CHILD_SUBREAPER, 0) == 0);
}

/* Ignored signals, the mask and descriptors come through exec; handlers do not. SIGCHLD tells of each end. */
static void become(void) {
    CHECK(signal(SIGCHLD, on_chld) != SIG_ERR);
    chld = 0;
    pid_t child = fork();
    if (child == 0) {
        CHECK(signal(SIGUSR2, SIG_IGN) != SIG_ERR);
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGUSR1);
        CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
        CHECK(raise(SIGUSR1) == 0);
        char *args[] = {"family", "heir", NULL}, *env[] = {"HEIRLOOM=ring", NULL};
        execve(self, args, env);
        _exit(97);
    }
    CHECK(status_of(child) == 44);
    CHECK(chld == 1);
    CHECK(signal(SIGCHLD, SIG_DFL) != SIG_ERR);
}

static int heir(void) {
    sigset_t set, pending;
    struct sigaction a;
    CHECK(sigprocmask(SIG_BLOCK, NULL, &set) == 0 && sigismember(&set, SIGUSR1) && !sigismember(&set, SIGUSR2));
    CHECK(sigpending(&pending) == 0 && sigismember(&pending, SIGUSR1));
    CHECK(sigaction(SIGUSR2, NULL, &a) == 0 && a.sa_handler == SIG_IGN);
    CHECK(sigaction(SIGCHLD, NULL, &a) == 0 && a.sa_handler == SIG_DFL);
    CHECK(getenv("HEIRLOOM") && strcmp(getenv("HEIRLOOM"), "ring") == 0 && environ[1] == NULL);
    return 44;
}

int main(int argc, char **argv) {
    static char path[4096];
    CHECK(readlink("/proc/self/exe", path, sizeof path - 1) > 0);
    self = path;
    if (argc > 2 && strcmp(argv[1], "leaf") == 0) {
        if (argc > 3) say("%s", argv[3]);
        return atoi(argv[2]);
    }
    if (argc > 1 && strcmp(argv[1], "heir") == 0) return heir();
    long rounds = number(argc, argv, 1, 5);
    uint64_t seed = number(argc, argv, 2, 1);
    struct sigaction a = {.sa_handler = on_usr1};
    CHECK(sigaction(SIGUSR1, &a, NULL) == 0);
    say("ready");
    sleep_ms(number(argc, argv, 3, 0));
    for (long i = 0; i < rounds; i++) {
        int nodes = tree(3);
        uint64_t sum = pipeline(seed + i);
        ping_pong(10);
        borrowed();
        spawned();
        relations();
        become();
        say("round %ld: %d processes, %016llx", i, nodes, (unsigned long long)sum);
    }
    CHECK(waitpid(-1, NULL, 0) == -1 && errno == ECHILD);
    say("done");
    return 0;
}
