/*
 * segv MODE [MS]: faults after MS milliseconds of work.
 *     die      SIGSEGV ends it
 *     recover  a handler jumps out, three times, and checks where and why
 *     altstack recursion without end is caught on the alternate stack
 *     restart  the handler maps the page and the faulting load goes on
 *     bus      a mapped file shorter than its mapping: SIGBUS is caught
 */
#include "common.h"
#include <setjmp.h>
#include <sys/mman.h>
#include <sys/resource.h>

static sigjmp_buf back;
static siginfo_t seen;
static char *trap_page;
/* An address where nothing is, in a variable, so that the compiler does not know. */
static volatile char *volatile nowhere = (char *)8;

static void on_fault(int number, siginfo_t *info, void *context) {
    (void)context;
    seen = *info;
    siglongjmp(back, number);
}

static void on_fault_map(int number, siginfo_t *info, void *context) {
    (void)number, (void)context;
    seen = *info;
    CHECK(mprotect(trap_page, 4096, PROT_READ | PROT_WRITE) == 0);
    trap_page[100] = 'm';
}

static void handle(int number, void (*handler)(int, siginfo_t *, void *), int flags) {
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
    sigemptyset(&action.sa_mask);
    CHECK(sigaction(number, &action, NULL) == 0);
}

static __attribute__((noinline)) int recurse(volatile int depth) {
    volatile char frame[4096];
    if (depth < 0) return 0;
    frame[depth % 4096] = depth;
    return recurse(depth + 1) + frame[0];
}

static void mode_recover(void) {
    handle(SIGSEGV, on_fault, 0);
    for (int i = 1; i <= 3; i++) {
        volatile char *address = i == 1 ? nowhere : trap_page + i;
        int number = sigsetjmp(back, 1);
        if (number == 0) {
            *address = 1;
            CHECK(!"no fault");
        }
        CHECK(number == SIGSEGV && seen.si_addr == (void *)address);
        say("recovered %d code %d", i, seen.si_code);
    }
}

static void mode_altstack(void) {
    struct rlimit limit = {512 * 1024, 512 * 1024};
    CHECK(setrlimit(RLIMIT_STACK, &limit) == 0);
    stack_t stack = {.ss_sp = malloc(65536), .ss_size = 65536}, old;
    CHECK(sigaltstack(&stack, NULL) == 0);
    handle(SIGSEGV, on_fault, SA_ONSTACK);
    for (int i = 1; i <= 2; i++) {
        if (sigsetjmp(back, 1) == 0) recurse(0);
        CHECK(sigaltstack(NULL, &old) == 0 && old.ss_sp == stack.ss_sp && old.ss_flags == 0);
        say("overflow %d caught", i);
    }
}

static void mode_restart(void) {
    handle(SIGSEGV, on_fault_map, 0);
    volatile char *p = trap_page;
    say("loaded %c", p[100]);
    CHECK(seen.si_addr == trap_page + 100 && seen.si_code == SEGV_ACCERR);
}

static void mode_bus(void) {
    char name[] = "/tmp/tesela-segv-XXXXXX";
    int fd = mkstemp(name);
    CHECK(fd >= 0 && unlink(name) == 0 && write(fd, "x", 1) == 1);
    char *file = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE, fd, 0);
    CHECK(file != MAP_FAILED);
    handle(SIGBUS, on_fault, 0);
    int number = sigsetjmp(back, 1);
    if (number == 0) {
        volatile char c = ((volatile char *)file)[4096];
        (void)c;
        CHECK(!"no fault");
    }
    CHECK(number == SIGBUS && seen.si_addr == file + 4096);
    say("bus code %d", seen.si_code);
}

int main(int argc, char **argv) {
    if (argc < 2) usage("segv die|recover|altstack|restart|bus [MS]");
    const char *mode = argv[1];
    trap_page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(trap_page != MAP_FAILED);
    say("ready");
    dwell_ms(number(argc, argv, 2, 0));
    if (strcmp(mode, "die") == 0) *nowhere = 1;
    else if (strcmp(mode, "recover") == 0) mode_recover();
    else if (strcmp(mode, "altstack") == 0) mode_altstack();
    else if (strcmp(mode, "restart") == 0) mode_restart();
    else if (strcmp(mode, "bus") == 0) mode_bus();
    else usage("segv die|recover|altstack|restart|bus [MS]");
    say("done");
    return 0;
}
