/*
 * sigs-script: does with signals what it is told on stdin, a line each, and says what came of it. Every handler says
 *     handled N code C value V mask HEX onstack 0|1
 * and every command ends in a line of its own:
 *     act N FLAGS     a handler; flags of r SA_RESTART, o SA_RESETHAND, n SA_NODEFER, s SA_ONSTACK, f everything blocked meanwhile,
 *                     d no handler but the default action, i ignore
 *     mask HEX        blocks just these (bit N-1 for signal N)
 *     pending         `pending HEX`
 *     suspend HEX     sigsuspend          poll HEX MS     ppoll of nothing           wait HEX MS     sigtimedwait
 *     sleep MS        nanosleep           self N          raise                      queue N VALUE   sigqueue to itself
 *     work MS         computes            pause           pause
 *     quit STATUS
 * Waiting for a line is a read of stdin: `eintr` is said when a handler interrupted it.
 */
#include "common.h"
#include <sys/signalfd.h>
#include <poll.h>

static char stack[65536];

static uint64_t bits(const sigset_t *set) {
    uint64_t value;
    memcpy(&value, set, sizeof value);
    return value;
}
static sigset_t from_bits(uint64_t value) {
    sigset_t set;
    sigemptyset(&set);
    memcpy(&set, &value, sizeof value);
    return set;
}
static uint64_t current_mask(void) {
    sigset_t set;
    CHECK(sigprocmask(SIG_BLOCK, NULL, &set) == 0);
    return bits(&set);
}

static void on_signal(int number, siginfo_t *info, void *context) {
    (void)context;
    int error = errno;
    char here;
    stack_t alt;
    CHECK(sigaltstack(NULL, &alt) == 0);
    int on = &here >= stack && &here < stack + sizeof stack;
    CHECK(on == ((alt.ss_flags & SS_ONSTACK) != 0));
    int value = info->si_code == SI_QUEUE || info->si_code == SI_TIMER ? info->si_value.sival_int : 0;
    say("handled %d code %d value %d mask %llx onstack %d", number, info->si_code, value, (unsigned long long)current_mask(), on);
    errno = error;
}

static void act(int number, const char *flags) {
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO}, old;
    sigemptyset(&action.sa_mask);
    for (const char *f = flags; *f; f++) {
        if (*f == 'r') action.sa_flags |= SA_RESTART;
        if (*f == 'o') action.sa_flags |= SA_RESETHAND;
        if (*f == 'n') action.sa_flags |= SA_NODEFER;
        if (*f == 's') action.sa_flags |= SA_ONSTACK;
        if (*f == 'f') sigfillset(&action.sa_mask);
        if (*f == 'd') action = (struct sigaction){.sa_handler = SIG_DFL};
        if (*f == 'i') action = (struct sigaction){.sa_handler = SIG_IGN};
    }
    CHECK(sigaction(number, &action, &old) == 0);
    int was = old.sa_handler == SIG_DFL ? 'd' : old.sa_handler == SIG_IGN ? 'i' : 'h';
    say("act %d was %c", number, was);
}

static void compute(long ms) {
    uint64_t end = now_ns(CLOCK_MONOTONIC) + ms * NS_PER_MS;
    volatile uint64_t x = 1;
    while (now_ns(CLOCK_MONOTONIC) < end) {
        for (int i = 0; i < 20000; i++) x = mix(x);
    }
}

/* One line without stdio, whose buffer would hide how calls end. */
static int read_line(char *line, size_t size) {
    size_t n = 0;
    for (;;) {
        char c;
        ssize_t got = read(0, &c, 1);
        if (got < 0) {
            CHECK(errno == EINTR);
            say("eintr");
            continue;
        }
        if (got == 0) return 0;
        if (c == '\n') break;
        CHECK(n + 1 < size);
        line[n++] = c;
    }
    line[n] = '\0';
    return 1;
}

static const char *outcome(int result) {
    static char text[32];
    if (result < 0) snprintf(text, sizeof text, "%s", errno == EINTR ? "eintr" : errno == EAGAIN ? "eagain" : "error");
    else snprintf(text, sizeof text, "%d", result);
    return text;
}

static void command(const char *name, uint64_t set_bits, const char *rest) {
    sigset_t set = from_bits(set_bits);
    long ms = strtol(rest, NULL, 10);
    struct timespec time = {ms / 1000, ms % 1000 * NS_PER_MS};
    siginfo_t info = {0};
    if (strcmp(name, "mask") == 0) {
        CHECK(sigprocmask(SIG_SETMASK, &set, NULL) == 0);
        say("mask %llx", (unsigned long long)current_mask());
    } else if (strcmp(name, "suspend") == 0) {
        int result = sigsuspend(&set);
        say("suspend %s mask %llx", outcome(result), (unsigned long long)current_mask());
    } else if (strcmp(name, "poll") == 0) {
        int result = ppoll(NULL, 0, &time, &set);
        say("poll %s mask %llx", outcome(result), (unsigned long long)current_mask());
    } else if (strcmp(name, "wait") == 0) {
        int result = sigtimedwait(&set, &info, &time);
        say("wait %s code %d value %d", outcome(result), info.si_code, info.si_code == SI_QUEUE ? info.si_value.sival_int : 0);
    } else {
        dprintf(2, "no command '%s'\n", name);
        exit(2);
    }
}

/* With `signalfd` it has a descriptor that would read its signals, and never looks at it. */
int main(int argc, char **argv) {
    char line[128], name[16], rest[64];
    stack_t alt = {.ss_sp = stack, .ss_size = sizeof stack};
    CHECK(sigaltstack(&alt, NULL) == 0);
    sigset_t usual;
    sigemptyset(&usual);
    sigaddset(&usual, SIGUSR1);
    CHECK(argc < 2 || strcmp(argv[1], "signalfd") != 0 || signalfd(-1, &usual, SFD_CLOEXEC) >= 0);
    say("ready");
    while (read_line(line, sizeof line)) {
        rest[0] = '\0';
        unsigned long long first = 0;
        int number = 0;
        CHECK(sscanf(line, "%15s", name) == 1);
        if (strcmp(name, "pending") == 0) {
            sigset_t set;
            CHECK(sigpending(&set) == 0);
            say("pending %llx", (unsigned long long)bits(&set));
        } else if (strcmp(name, "pause") == 0) {
            int result = pause();
            say("pause %s", outcome(result));
        } else if (strcmp(name, "act") == 0) {
            CHECK(sscanf(line, "%*s %d %63s", &number, rest) >= 1);
            act(number, rest);
        } else if (strcmp(name, "self") == 0) {
            CHECK(sscanf(line, "%*s %d", &number) == 1);
            CHECK(raise(number) == 0);
            say("self %d", number);
        } else if (strcmp(name, "queue") == 0) {
            int value;
            CHECK(sscanf(line, "%*s %d %d", &number, &value) == 2);
            CHECK(sigqueue(getpid(), number, (union sigval){.sival_int = value}) == 0);
            say("queue %d %d", number, value);
        } else if (strcmp(name, "sleep") == 0) {
            CHECK(sscanf(line, "%*s %d", &number) == 1);
            struct timespec time = {number / 1000, number % 1000 * NS_PER_MS}, left = {0, 0};
            int result = nanosleep(&time, &left);
            CHECK(result == 0 || (left.tv_sec <= time.tv_sec && left.tv_nsec < (long)NS_PER_S));
            say("sleep %s", outcome(result));
        } else if (strcmp(name, "work") == 0) {
            CHECK(sscanf(line, "%*s %d", &number) == 1);
            compute(number);
            say("work %d", number);
        } else if (strcmp(name, "quit") == 0) {
            CHECK(sscanf(line, "%*s %d", &number) == 1);
            exit(number);
        } else {
            CHECK(sscanf(line, "%*s %llx %63s", &first, rest) >= 1);
            command(name, first, rest);
        }
    }
    return 0;
}
