/*
 * sigs MODE: prints each signal that comes, as its handler saw it:
 *     signal 10 code -1 pid 4711 value 42 status 0 count 1
 * Modes: `wait` sleeps in sigsuspend between signals, `spin` computes, `read` blocks in a read of stdin (end of file ends it, lines come
 * back as `line TEXT`), `winch` prints the terminal's size at each SIGWINCH. All print `ready` first; SIGTERM ends them with the counts,
 * status 0.
 */
#include "common.h"
#include <sys/ioctl.h>

/* Handlers write the tail, the main loop reads the head; so many may wait to be printed. */
#define RING 1024
static struct {
    int number, code, status;
    pid_t pid;
    int value;
} ring[RING];
static volatile unsigned head, tail;
static unsigned long counts[65];
static sigset_t all;
/* In `read` the handler prints: a signal that comes just before the read would otherwise wait for the next line. */
static int print_at_once;

static int drain(int winch);
static _Noreturn void finish(void);

static void on_signal(int number, siginfo_t *info, void *context) {
    (void)context;
    unsigned i = tail % RING;
    ring[i].number = number;
    ring[i].code = info->si_code;
    /* kill and sigqueue fill pid and value; the kernel's SIGCHLD has pid and status there, and a timer its value only. */
    ring[i].pid = info->si_code == SI_TIMER || info->si_code == SI_KERNEL ? 0 : info->si_pid;
    ring[i].value = info->si_code == SI_QUEUE || info->si_code == SI_TIMER ? info->si_value.sival_int : 0;
    ring[i].status = number == SIGCHLD && info->si_code > 0 ? info->si_status : 0;
    tail++;
    if (print_at_once && drain(0)) finish();
}

/* Prints what has come; 1 when SIGTERM was among it. */
static int drain(int winch) {
    int term = 0;
    while (head != tail) {
        unsigned i = head++ % RING;
        int n = ring[i].number;
        counts[n]++;
        if (winch && n == SIGWINCH) {
            struct winsize size;
            CHECK(ioctl(0, TIOCGWINSZ, &size) == 0);
            say("winch %dx%d", size.ws_row, size.ws_col);
        } else {
            say("signal %d code %d pid %d value %d status %d count %lu", n, ring[i].code, ring[i].pid, ring[i].value, ring[i].status,
                counts[n]);
        }
        if (n == SIGTERM) term = 1;
    }
    return term;
}

static _Noreturn void finish(void) {
    for (int n = 1; n < 65; n++) {
        if (counts[n] > 0) say("count %d %lu", n, counts[n]);
    }
    exit(0);
}

static void mode_wait(int winch) {
    sigset_t none;
    sigemptyset(&none);
    CHECK(sigprocmask(SIG_BLOCK, &all, NULL) == 0);
    say("ready");
    for (;;) {
        if (drain(winch)) finish();
        CHECK(sigsuspend(&none) == -1 && errno == EINTR);
    }
}

static void mode_spin(void) {
    volatile uint64_t x = 1;
    say("ready");
    for (;;) {
        for (int i = 0; i < 10000; i++) x = mix(x);
        if (head != tail && drain(0)) finish();
    }
}

/* A signal during the read shows up as EINTR, since its handler does not restart calls. */
static void mode_read(void) {
    char buffer[400];
    print_at_once = 1;
    say("ready");
    for (;;) {
        ssize_t n = read(0, buffer, sizeof buffer - 1);
        if (n < 0) CHECK(errno == EINTR);
        if (n == 0) finish();
        if (n > 0) {
            buffer[n] = '\0';
            buffer[strcspn(buffer, "\n")] = '\0';
            say("line %s", buffer);
        }
    }
}

int main(int argc, char **argv) {
    if (argc != 2) usage("sigs wait|spin|read|winch");
    sigfillset(&all);
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO, .sa_mask = all};
    for (int n = 1; n <= SIGRTMAX; n++) {
        if (n == SIGKILL || n == SIGSTOP || n == SIGTSTP || n == SIGTTIN || n == SIGTTOU) continue;
        /* Synchronous faults keep their default: the program has none. The first two real-time signals belong to libc. */
        if (n == SIGSEGV || n == SIGBUS || n == SIGFPE || n == SIGILL || (n > 31 && n < SIGRTMIN)) continue;
        CHECK(sigaction(n, &action, NULL) == 0);
    }
    if (strcmp(argv[1], "wait") == 0) mode_wait(0);
    else if (strcmp(argv[1], "winch") == 0) mode_wait(1);
    else if (strcmp(argv[1], "spin") == 0) mode_spin();
    else if (strcmp(argv[1], "read") == 0) mode_read();
    usage("sigs wait|spin|read|winch");
}
