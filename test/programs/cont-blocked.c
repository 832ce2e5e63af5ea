/*
 * cont-blocked: blocks SIGCONT and computes until SIGTERM. At its end it says `pending N`, whether a SIGCONT waits, and `handled N`, how
 * often its handler ran once it was let in.
 */
#include "common.h"

static volatile sig_atomic_t over, handled;

static void on_term(int signal UNUSED) { over = 1; }
static void on_cont(int signal UNUSED) { handled++; }

int main(void) {
    sigset_t cont, waiting;
    sigemptyset(&cont);
    sigaddset(&cont, SIGCONT);
    CHECK(signal(SIGTERM, on_term) != SIG_ERR && signal(SIGCONT, on_cont) != SIG_ERR);
    CHECK(sigprocmask(SIG_BLOCK, &cont, NULL) == 0);
    say("ready");
    uint64_t until = now_ns(CLOCK_MONOTONIC) + PATIENCE_S * NS_PER_S;
    while (!over && now_ns(CLOCK_MONOTONIC) < until) continue;
    CHECK(sigpending(&waiting) == 0);
    say("pending %d", sigismember(&waiting, SIGCONT));
    CHECK(sigprocmask(SIG_UNBLOCK, &cont, NULL) == 0);
    say("handled %d", (int)handled);
    return 0;
}
