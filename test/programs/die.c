/*
 * die HOW [N]: says `ready`, waits for one byte of stdin and then ends:
 *     exit N    with that status                    kill N    by signal number N sent to itself
 *     abort     by abort()                          tkill N   by signal number N sent to its thread
 *     segv, bus, fpe, ill, trap, sys                by the CPU's or the kernel's own signal
 * With HOW `wait` it goes on reading, for a test to end it. End of file is status 90, a signal that does not end it 91.
 */
#include "common.h"
#include <sys/mman.h>
#include <sys/syscall.h>

static volatile char *volatile nowhere = (char *)8;
static volatile int zero;

static void fault_bus(void) {
    char name[] = "/tmp/tesela-die-XXXXXX";
    int fd = mkstemp(name);
    CHECK(fd >= 0 && unlink(name) == 0 && write(fd, "x", 1) == 1);
    volatile char *file = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE, fd, 0);
    CHECK(file != MAP_FAILED);
    (void)file[4096];
}

static void divide(void) {
    int q = 1;
    __asm__ volatile("cltd; idivl %1" : "+a"(q) : "r"(zero) : "edx", "cc");
}

int main(int argc, char **argv) {
    if (argc < 2) usage("die exit|kill|tkill|abort|segv|bus|fpe|ill|trap|wait [N]");
    const char *how = argv[1];
    long n = number(argc, argv, 2, 0);
    char byte;
    say("ready");
    do {
        ssize_t got;
        while ((got = read(0, &byte, 1)) < 0) CHECK(errno == EINTR);
        if (got == 0) _exit(90);
    } while (strcmp(how, "wait") == 0);
    if (strcmp(how, "exit") == 0) exit(n);
    if (strcmp(how, "abort") == 0) abort();
    if (strcmp(how, "kill") == 0) CHECK(kill(getpid(), n) == 0);
    if (strcmp(how, "tkill") == 0) CHECK(syscall(SYS_tgkill, getpid(), gettid(), n) == 0);
    if (strcmp(how, "segv") == 0) *nowhere = 1;
    if (strcmp(how, "bus") == 0) fault_bus();
    if (strcmp(how, "fpe") == 0) divide();
    if (strcmp(how, "ill") == 0) __asm__ volatile("ud2");
    if (strcmp(how, "trap") == 0) __asm__ volatile("int3");
    _exit(91);
}
