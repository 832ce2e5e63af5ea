/*
 * A program that tries to get out of where it runs. `breakout WHAT [ARGUMENTS]` says `ready` and tries when SIGUSR1 comes, after
 * it has been moved; each try is a line with what came of it, the last line is `over`.
 */
#include "common.h"
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <netinet/in.h>
#include <ucontext.h>

/* Where the engine keeps code of its own in a guest (src/image/skeleton.ts, stub.ts). */
#define OWN_CODE 0x10000ul
#define OWN_LIST (OWN_CODE + 0x140)
#define OWN_CALL (OWN_CODE + 0x1c0)
#define OWN_DATA (OWN_CODE + 0x1000)
#define OWN_SIZE 0x9000ul
#define MEGABYTE (1ul << 20)
#define SHM_KEY 0x7e5e1a
/* Of an abstract address with the name `tesela-host-only`. */
#define QUIET_BYTES (sizeof(sa_family_t) + 17)

static volatile sig_atomic_t told, traps, heard;
static sigjmp_buf back;
static volatile long trapped_rax;

static void on_told(int s UNUSED) { told = 1; }
static void on_heard(int s UNUSED) { heard++; }
static void on_trap(int s UNUSED, siginfo_t *i UNUSED, void *context) {
    trapped_rax = ((ucontext_t *)context)->uc_mcontext.gregs[REG_RAX];
    siglongjmp(back, 1);
}
static void on_step(int s UNUSED) { traps++; }

static void handle(int signal, void (*handler)(int)) {
    struct sigaction act = {.sa_handler = handler};
    CHECK(sigaction(signal, &act, NULL) == 0);
}

/* Waits for the word; the mask lets it in only here. */
static void wait_told(void) {
    sigset_t none;
    sigemptyset(&none);
    while (!told) sigsuspend(&none);
    told = 0;
}

static void result(const char *what, long r) {
    if (r >= 0) say("%s %ld", what, r);
    else say("%s %s", what, strerrorname_np(errno));
}
#define TRY(call) result(#call, (long)(call))

/* The instruction for 32-bit programs, with their numbers. */
static long int80(long nr, long a, long b) {
    long r;
    __asm__ volatile("int $0x80" : "=a"(r) : "a"(nr), "b"(a), "c"(b) : "memory", "r8", "r9", "r10", "r11");
    return r;
}

static long raw(long nr) {
    long r;
    __asm__ volatile("syscall" : "=a"(r) : "a"(nr), "D"(0), "S"(0), "d"(0) : "memory", "rcx", "r11");
    return r;
}

/* Numbers of this architecture's harmless calls are others in the table of 32-bit programs. */
static void try_foreign(void) {
    say("int80 getuid %ld", int80(24, 0, 0));
    say("int80 mkdir %ld", int80(39, (long)"", 0));
    say("int80 execve %ld", int80(11, 0, 0));
    say("int80 ptrace %ld", int80(26, 1, 0));
    say("x32 getpid %ld", raw(0x40000000 | SYS_getpid));
    say("number -1 %ld", raw(-1));
    say("number 100000 %ld", raw(100000));
}

/* 32-bit code in a 64-bit process: getuid by int 0x80 and a far return, called from below 4 GiB, where that can return to. */
static void try_compat(void) {
    static const unsigned char code[] = {0xb8, 24, 0, 0, 0, 0xcd, 0x80, 0xcb};
    /* lcall *(%rdi); jmp *%r12 */
    static const unsigned char bridge[] = {0xff, 0x1f, 0x41, 0xff, 0xe4};
    unsigned char *low = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    CHECK(low != MAP_FAILED);
    memcpy(low, code, sizeof code);
    memcpy(low + 128, bridge, sizeof bridge);
    struct __attribute__((packed)) {
        uint32_t offset;
        uint16_t selector;
    } *far = (void *)(low + 64);
    far->offset = (uint32_t)(uintptr_t)low;
    far->selector = 0x23;
    long r;
    __asm__ volatile(
        "mov %%rsp, %%r13\n\tmov %2, %%rsp\n\tlea 1f(%%rip), %%r12\n\tjmp *%3\n1:\tmov %%r13, %%rsp"
        : "=a"(r)
        : "D"(far), "r"(low + 4096 - 64), "r"(low + 128)
        : "memory", "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "cc");
    say("compat getuid %ld", r & 0xffffffff);
}

/* Makes the engine's code do a call: its `syscall`, or its walk over a list of them. Each ends in an int3. */
static __attribute__((noinline)) long at_own(unsigned long entry, long nr, long a, long b, long c) {
    static uint64_t list[8];
    if (sigsetjmp(back, 1)) return entry == OWN_LIST ? (long)list[7] : trapped_rax;
    list[0] = nr, list[1] = a, list[2] = b, list[3] = c, list[7] = 12345;
    __asm__ volatile(
        "mov %5, %%r15\n\tmov $1, %%r14d\n\tjmp *%4"
        :
        : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(entry), "r"(list)
        : "memory", "rcx", "r8", "r9", "r10", "r11", "r14", "r15");
    __builtin_unreachable();
}

static void try_stub(void) {
    struct sigaction act = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};
    CHECK(sigaction(SIGTRAP, &act, NULL) == 0);
    for (int i = 0; i < 2; i++) {
        unsigned long entry = i == 0 ? OWN_CALL : OWN_LIST;
        const char *name = i == 0 ? "one" : "list";
        say("%s getuid %ld", name, at_own(entry, SYS_getuid, 0, 0, 0));
        say("%s socket %ld", name, at_own(entry, SYS_socket, AF_UNIX, SOCK_STREAM, 0) >= 0 ? 1l : 0l);
        say("%s chroot %ld", name, at_own(entry, SYS_chroot, 0, 0, 0));
        /* What the engine would receive files over. */
        say("%s recvmsg %ld", name, at_own(entry, SYS_recvmsg, 0, OWN_DATA, MSG_DONTWAIT));
        /* Its data pages are this program's to spoil: their content is written afresh for each use. */
        memset((void *)OWN_DATA, 0xff, OWN_SIZE - 0x1000);
    }
    pid_t child = fork();
    if (child == 0) _exit(7);
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    say("child %d", WEXITSTATUS(status));
    say("next"), wait_told();
}

/* Takes away, changes and covers the engine's own pages; at home nothing is there, so each call says what it would have said. */
static void try_pages(void) {
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED);
    TRY(munmap((void *)OWN_CODE, OWN_SIZE));
    say("next"), wait_told();
    TRY(mprotect((void *)OWN_CODE, 4096, PROT_READ | PROT_WRITE | PROT_EXEC));
    say("next"), wait_told();
    TRY(madvise((void *)(OWN_CODE + 0x1000), 4096, MADV_DONTNEED));
    say("next"), wait_told();
    void *at = mmap((void *)OWN_CODE, 4096, 7, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    say("mmap %lx", (unsigned long)at);
    CHECK(munmap(at, 4096) == 0);
    say("next"), wait_told();
    at = mremap(page, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)OWN_CODE);
    say("mremap %lx", (unsigned long)at);
    CHECK(munmap(at, 4096) == 0);
    say("next"), wait_told();
    /* The whole address space but this: from 0 on. */
    TRY(munmap(NULL, OWN_CODE + OWN_SIZE));
    say("next"), wait_told();
}

/* One instruction at a time, while signals come and children begin: the engine's own calls meet the traps. */
static void try_step(void) {
    handle(SIGTRAP, on_step);
    handle(SIGUSR2, on_heard);
    __asm__ volatile("pushfq\n\torq $0x100, (%%rsp)\n\tpopfq" ::: "memory", "cc");
    for (int i = 0; i < 5; i++) {
        syscall(SYS_kill, syscall(SYS_getpid), SIGUSR2);
        syscall(SYS_getppid);
    }
    __asm__ volatile("pushfq\n\tandq $~0x100, (%%rsp)\n\tpopfq" ::: "memory", "cc");
    say("heard %d, stepped %s", (int)heard, traps > 100 ? "yes" : "no");
}

/* A process of the host's own: it listens where only this host's processes can come, and says who does. */
static void serve(void) {
    struct sockaddr_un quiet = {.sun_family = AF_UNIX, .sun_path = "\0tesela-host-only"};
    struct sockaddr_in port = {.sin_family = AF_INET, .sin_port = htons(5999), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct pollfd fds[2] = {{socket(AF_INET, SOCK_STREAM, 0), POLLIN, 0}, {socket(AF_UNIX, SOCK_STREAM, 0), POLLIN, 0}};
    CHECK(bind(fds[0].fd, (void *)&port, sizeof port) == 0 && listen(fds[0].fd, 5) == 0);
    CHECK(bind(fds[1].fd, (void *)&quiet, QUIET_BYTES) == 0 && listen(fds[1].fd, 5) == 0);
    say("ready");
    while (poll(fds, 2, PATIENCE_S * 1000) >= 0) say("visited"), sleep_ms(100);
}

/* Calls that the host's kernel must never see: each acts at home. `victim` is a process of the host, `other` another guest there. */
static void try_calls(pid_t victim, pid_t other) {
    char byte = 'x', text[64] = "";
    struct iovec here = {&byte, 1}, there = {(void *)OWN_CODE, 1};
    struct sockaddr_un quiet = {.sun_family = AF_UNIX, .sun_path = "\0tesela-host-only"};
    struct sockaddr_in port = {.sin_family = AF_INET, .sin_port = htons(5999), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = open("/tmp/whose", O_RDONLY);
    CHECK(fd >= 0 && read(fd, text, sizeof text - 1) > 0);
    close(fd);
    say("file of the %s", text);
    CHECK((fd = open("/tmp/made", O_WRONLY | O_CREAT, 0644)) >= 0 && write(fd, "x", 1) == 1);
    close(fd);
    TRY(connect(socket(AF_INET, SOCK_STREAM, 0), (void *)&port, sizeof port));
    TRY(connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&quiet, QUIET_BYTES));
    port.sin_port = htons(5998);
    fd = socket(AF_INET, SOCK_STREAM, 0);
    TRY(bind(fd, (void *)&port, sizeof port));
    TRY(listen(fd, 1));
    TRY(kill(victim, SIGKILL));
    TRY(syscall(SYS_tgkill, victim, victim, SIGKILL));
    TRY(kill(other, SIGKILL));
    TRY(kill(-1, SIGKILL));
    TRY(kill(0, 0));
    TRY(syscall(SYS_pidfd_open, victim, 0));
    TRY(process_vm_readv(victim, &here, 1, &there, 1, 0));
    TRY(process_vm_writev(victim, &here, 1, &there, 1, 0));
    TRY(process_vm_writev(other, &here, 1, &there, 1, 0));
    TRY(setpriority(PRIO_PROCESS, victim, 19));
    TRY(mount("tesela-breakout", "/mnt", "tmpfs", 0, NULL));
    TRY(sethostname("broken", 6));
    TRY(chroot("/"));
    TRY(syscall(SYS_pivot_root, "/", "/"));
    TRY(syscall(SYS_open_by_handle_at, AT_FDCWD, "", 0));
    TRY(prctl(PR_SET_DUMPABLE, 1));
    TRY(shmget(SHM_KEY, 4096, IPC_CREAT | 0600) >= 0);
    TRY(mknod("/tmp/device", S_IFCHR | 0600, 0x103));
}

/* The same as somebody who may do it at home. */
static void try_as_root(void) {
    TRY(mount("tesela-breakout", "/mnt", "tmpfs", 0, NULL));
    TRY(sethostname("broken", 6));
    TRY(mknod("/tmp/device", S_IFCHR | 0600, 0x103));
    TRY(chroot("/mnt"));
}

/* What brings it home for good: last, one by one. */
static void try_special(void) {
    struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
    TRY(setrlimit(RLIMIT_CORE, &unlimited));
    TRY(prctl(PR_SET_MM, PR_SET_MM_EXE_FILE, 0, 0, 0));
    say("next"), wait_told();
    TRY(syscall(SYS_io_uring_setup, 1, NULL));
    say("next"), wait_told();
    TRY(syscall(SYS_userfaultfd, -1));
    say("next"), wait_told();
    TRY(syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0));
    say("next"), wait_told();
    TRY(syscall(SYS_bpf, 0, NULL, 0) >= 0);
    say("next"), wait_told();
    TRY(ptrace(PTRACE_SEIZE, 1, 0, 0));
}

/* Children in namespaces of their own, and a program that no file holds. */
static void try_children(void) {
    static const int flags[] = {CLONE_NEWUSER, CLONE_NEWNET, CLONE_NEWPID, CLONE_UNTRACED, 0};
    for (int i = 0; i < 5; i++) {
        pid_t child = syscall(SYS_clone, flags[i] | SIGCHLD, 0, 0, 0, 0);
        CHECK(child >= 0);
        if (child == 0) _exit(i);
        int status;
        CHECK(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == i);
        say("child %x", flags[i]), say("next"), wait_told();
    }
    pid_t child = fork();
    if (child == 0) {
        int file = open("/bin/true", O_RDONLY), memory = memfd_create("x", 0);
        char buffer[65536];
        for (ssize_t n; (n = read(file, buffer, sizeof buffer)) > 0;) write_all(memory, buffer, n);
        char *argv[] = {"x", NULL};
        syscall(SYS_execveat, memory, "", argv, argv + 1, AT_EMPTY_PATH);
        _exit(9);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    say("program %d", WEXITSTATUS(status));
}

/* As many children at once as it is told, each of which waits: none is refused. */
static void try_forks(int n) {
    int begun = 0;
    for (int i = 0; i < n; i++) {
        pid_t child = fork();
        if (child == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (getppid() != 1) pause();
            _exit(0);
        }
        if (child > 0) begun++;
        else say("fork %s", strerrorname_np(errno));
    }
    say("begun %d", begun);
    wait_told();
}

/* Takes memory until somebody minds. */
static void try_memory(long megabytes) {
    for (long i = 0; i < megabytes; i++) {
        char *more = mmap(NULL, MEGABYTE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(more != MAP_FAILED);
        memset(more, 1, MEGABYTE);
    }
    say("took %ld", megabytes);
    wait_told();
}

int main(int argc, char **argv) {
    if (argc < 2) usage("breakout WHAT [ARGUMENT]");
    sigset_t word;
    sigemptyset(&word);
    sigaddset(&word, SIGUSR1);
    CHECK(sigprocmask(SIG_BLOCK, &word, NULL) == 0);
    handle(SIGUSR1, on_told);
    alarm(PATIENCE_S);
    const char *what = argv[1];
    if (!strcmp(what, "serve")) serve();
    say("ready");
    wait_told();
    if (!strcmp(what, "foreign")) try_foreign();
    else if (!strcmp(what, "compat")) try_compat();
    else if (!strcmp(what, "stub")) try_stub();
    else if (!strcmp(what, "pages")) try_pages();
    else if (!strcmp(what, "step")) try_step();
    else if (!strcmp(what, "calls")) try_calls(number(argc, argv, 2, 0), number(argc, argv, 3, 0));
    else if (!strcmp(what, "root")) try_as_root();
    else if (!strcmp(what, "special")) try_special();
    else if (!strcmp(what, "children")) try_children();
    else if (!strcmp(what, "forks")) try_forks(number(argc, argv, 2, 10));
    else if (!strcmp(what, "memory")) try_memory(number(argc, argv, 2, 10));
    else if (strcmp(what, "wait")) usage("breakout WHAT [ARGUMENT]");
    say("over");
}
