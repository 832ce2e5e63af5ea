/*
 * fpe MODE [MS]: a CPU exception after MS milliseconds of work.
 *     die    integer division by zero ends it by SIGFPE
 *     catch  integer division, SSE and x87 exceptions, and an undefined instruction, each caught with its code
 *     ill    an undefined instruction ends it by SIGILL
 *     trap   a breakpoint ends it by SIGTRAP
 */
#include "common.h"
#include <fenv.h>
#include <setjmp.h>

static sigjmp_buf back;
static volatile int code;
static volatile int zero;

static void on_fault(int number, siginfo_t *info, void *context) {
    (void)context;
    code = info->si_code;
    siglongjmp(back, number);
}

static void divide(void) {
    int q = 1;
    __asm__ volatile("cltd; idivl %1" : "+a"(q) : "r"(zero) : "edx", "cc");
}

static void divide_sse(void) {
    volatile double one = 1.0, nothing = 0.0;
    volatile double q = one / nothing;
    (void)q;
}

static void divide_x87(void) {
    __asm__ volatile("fldz; fld1; fdivp; fwait" ::: "st");
}

static void undefined(void) {
    __asm__ volatile("ud2");
}

static void caught(const char *name, void (*fault)(void), int floats) {
    int number = sigsetjmp(back, 1);
    if (number == 0) {
        if (floats) feenableexcept(FE_DIVBYZERO);
        fault();
        CHECK(!"no exception");
    }
    fesetenv(FE_DFL_ENV);
    say("%s: signal %d code %d", name, number, code);
}

int main(int argc, char **argv) {
    if (argc < 2) usage("fpe die|catch|ill|trap [MS]");
    say("ready");
    dwell_ms(number(argc, argv, 2, 0));
    if (strcmp(argv[1], "die") == 0) divide();
    if (strcmp(argv[1], "ill") == 0) undefined();
    if (strcmp(argv[1], "trap") == 0) __asm__ volatile("int3");
    if (strcmp(argv[1], "catch") != 0) usage("fpe die|catch|ill|trap [MS]");
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    CHECK(sigaction(SIGFPE, &action, NULL) == 0 && sigaction(SIGILL, &action, NULL) == 0);
    caught("integer", divide, 0);
    caught("sse", divide_sse, 1);
    caught("x87", divide_x87, 1);
    caught("undefined", undefined, 0);
    return 0;
}
