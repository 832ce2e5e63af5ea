/*
 * opens WHO TIMES SEED: opens files that another changes, and reads them: WHO is a `process` that tells by a pipe, or one that tells by
 * `signals`. What it has been told of before it reads must be read, also when it was told behind the open; so must what was written
 * before a name went away that it looks for in vain. What was read once does not go back. Once it gets SIGUSR1 it begins, and prints
 * `whole` at the end.
 *
 * opens repeat TIMES SEED: opens a few files over and over, and reads, seeks, duplicates, hands on and maps them in any order; prints
 * a digest of all results. opens limit: opens what is not there with and without a descriptor left for it.
 */
#include "common.h"
#include "told.h"
#include <limits.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

static char dir[64];
static long times;

static const char *in_dir(const char *name, long i) {
    static char paths[4][PATH_MAX];
    static int next;
    char *path = paths[next++ & 3];
    snprintf(path, PATH_MAX, "%s/%s%ld", dir, name, i);
    return path;
}

static void put(const char *path, const char *text, size_t n) {
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    CHECK(fd >= 0);
    write_all(fd, text, n);
    CHECK(close(fd) == 0);
}

/* The i-th change: one file is a byte longer, another is replaced, a name goes. */
static void change(long i) {
    char text[32];
    int fd = open(in_dir("grows", 0), O_WRONLY | O_APPEND);
    CHECK(fd >= 0);
    write_all(fd, "x", 1);
    CHECK(close(fd) == 0);
    int n = snprintf(text, sizeof text, "%ld", i);
    put(in_dir("new", 0), text, n);
    CHECK(rename(in_dir("new", 0), in_dir("replaced", 0)) == 0);
    CHECK(unlink(in_dir("goes", i)) == 0);
}

static void change_all(int fd, pid_t whom) {
    for (long i = 1; i <= times; i++) {
        if (rnd_below(4)) {
            struct timespec t = {0, rnd_below(2000) * 1000};
            nanosleep(&t, NULL);
        }
        change(i);
        if (fd >= 0) write_all(fd, "x", 1);
        else while (sigqueue(whom, SIGRTMIN, (union sigval){0}) != 0) CHECK(errno == EAGAIN);
    }
}

static void need(long got, long known, const char *what) {
    if (got >= known) return;
    say("wrong: %s is %ld, and %ld were known", what, got, known);
    exit(1);
}

/* Reads on to the end, in pieces of its choice. */
static long read_on(int fd, char *into, long room) {
    long n = 0;
    for (;;) {
        ssize_t r = read(fd, into + n, rnd() & 1 ? room - n : (long)rnd_below(700) + 1);
        if (r < 0 && errno == EINTR) continue;
        CHECK(r >= 0);
        if (r == 0) return n;
        n += r;
    }
}

static int watch(const char *who) {
    static char text[1 << 16];
    int by_signal = strcmp(who, "signals") == 0;
    const char *tmp = getenv("TMPDIR");
    snprintf(dir, sizeof dir, "%s/opens-XXXXXX", tmp && strlen(tmp) < 32 ? tmp : "/tmp");
    CHECK(mkdtemp(dir));
    put(in_dir("grows", 0), "x", 1);
    put(in_dir("replaced", 0), "0", 1);
    for (long i = 0; i <= times; i++) put(in_dir("goes", i), "", 0);
    int go[2], ends[2];
    CHECK(pipe(go) == 0 && pipe2(ends, O_NONBLOCK) == 0);
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    if (by_signal) CHECK(sigaction(SIGRTMIN, &action, NULL) == 0);
    pid_t me = getpid(), other = fork_partner();
    if (other == 0) {
        char byte;
        CHECK(read_all(go[0], &byte, 1) == 1);
        change_all(by_signal ? -1 : ends[1], me);
        return 0;
    }
    get_ready();
    write_all(go[1], "x", 1);
    told_by = by_signal ? -1 : ends[0];
    long seen = 0, rounds = 0;
    while (seen < times) {
        struct stat st;
        long known = atomic_load(&told);
        int fd = open(in_dir("replaced", 0), O_RDONLY | O_CLOEXEC);
        CHECK(fd >= 0);
        if (rnd_below(4) == 0) CHECK(fstat(fd, &st) == 0);
        if (rnd_below(4) == 0) hear();
        long n = read_on(fd, text, sizeof text - 1);
        text[n] = 0;
        need(atol(text), known, "what was replaced");
        CHECK(close(fd) == 0);
        fd = open(in_dir("grows", 0), O_RDONLY);
        CHECK(fd >= 0);
        if (rnd_below(3) == 0) hear();
        known = atomic_load(&told);
        if (known < seen) known = seen;
        if (rnd() & 1) {
            CHECK(fstat(fd, &st) == 0);
            need(st.st_size - 1, known, "the size");
            known = st.st_size - 1;
        }
        while (known < times && rnd() & 1 && access(in_dir("goes", known + 1), F_OK) < 0) {
            CHECK(errno == ENOENT);
            known++;
        }
        if (rnd_below(3) == 0) hear();
        if (atomic_load(&told) > known) known = atomic_load(&told);
        long some = rnd_below(3) ? 0 : (long)rnd_below(20);
        some = read_all(fd, text, some);
        if (rnd_below(3) == 0) {
            /* From its beginning once more, with all that is known by now. */
            hear();
            if (atomic_load(&told) > known) known = atomic_load(&told);
            CHECK(lseek(fd, 0, SEEK_SET) == 0);
            some = 0;
        }
        n = read_on(fd, text, sizeof text) + some;
        /* What it has read before it was told it has read. */
        if (n > some) need(n - 1, known, "what grows");
        if (n - 1 > seen) seen = n - 1;
        CHECK(close(fd) == 0);
        if (++rounds % 64 == 0) say("rounds %ld", rounds);
        hear();
    }
    CHECK(status_of(other) == 0);
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", dir);
    CHECK(system(command) == 0);
    say("whole");
    return 0;
}

static uint64_t all;
#define RESULT(call) (errno = 0, r = (call), all = digest_u64(all, (uint64_t)r << 32 | errno))

/* The bytes too. */
static void got(long n, const char *bytes) {
    if (n > 0) all = digest(all, bytes, n);
}

static void hand_on(int fd) {
    int pair[2];
    char byte = 'x', space[CMSG_SPACE(sizeof fd)] = {0}, text[16];
    struct iovec iov = {&byte, 1};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    *c = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof fd)};
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    CHECK(sendmsg(pair[0], &m, 0) == 1 && recvmsg(pair[1], &m, 0) == 1);
    int same;
    memcpy(&same, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof same);
    long r;
    RESULT(read(same, text, sizeof text));
    got(r, text);
    CHECK(close(same) == 0 && close(pair[0]) == 0 && close(pair[1]) == 0);
}

static void by_child(int fd) {
    char text[16];
    pid_t child = fork_partner();
    if (child == 0) {
        ssize_t n = read(fd, text, sizeof text);
        _exit(n < 0 ? 200 : (n ? text[0] & 63 : 100) + (int)(lseek(fd, 0, SEEK_CUR) & 63));
    }
    all = digest_u64(all, status_of(child));
}

static long told_position(int fd) {
    char path[64], text[64] = {0};
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
    int info = open(path, O_RDONLY);
    CHECK(info >= 0 && read(info, text, sizeof text - 1) > 5 && close(info) == 0);
    return atol(text + 5);
}

static void one_call(int fd, int other) {
    static char text[70000];
    struct stat st;
    struct iovec two[2] = {{text, 5}, {text + 5, 900}};
    long r, n = rnd() & 1 ? (long)rnd_below(40) : (long)rnd_below(sizeof text);
    switch (rnd_below(20)) {
    case 0: case 1: case 2: case 3:
        RESULT(read(fd, text, n));
        got(r, text);
        break;
    case 4:
        RESULT(fstat(fd, &st));
        all = digest_u64(digest_u64(all, st.st_size), st.st_mode);
        break;
    case 5: RESULT(lseek(fd, rnd_below(100), SEEK_SET)); break;
    case 6: RESULT(lseek(fd, (long)rnd_below(60) - 30, SEEK_CUR)); break;
    case 7: RESULT(lseek(fd, -(long)rnd_below(60), SEEK_END)); break;
    case 8: RESULT(lseek(fd, rnd_below(5000), rnd_below(7))); break;
    case 9:
        RESULT(pread(fd, text, n, rnd_below(100)));
        got(r, text);
        break;
    case 10:
        RESULT(readv(fd, two, 2));
        got(r, text);
        break;
    case 11: {
        int same = dup(fd);
        CHECK(same > fd);
        RESULT(read(same, text, n));
        got(r, text);
        CHECK(close(same) == 0);
        break;
    }
    case 12: hand_on(fd); break;
    case 13: if (rnd_below(3) == 0) by_child(fd); break;
    case 14:
        RESULT(sendfile(other, fd, NULL, n));
        RESULT(lseek(other, 0, SEEK_CUR));
        CHECK(ftruncate(other, 0) == 0 && lseek(other, 0, SEEK_SET) == 0);
        break;
    case 15: {
        char *at = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
        CHECK(at != MAP_FAILED);
        CHECK(fstat(fd, &st) == 0);
        got(st.st_size < 4096 ? st.st_size : 4096, at);
        CHECK(munmap(at, 4096) == 0);
        break;
    }
    case 16: all = digest_u64(all, told_position(fd)); break;
    case 17: RESULT(read(fd, (void *)8, n)); break;
    case 18: RESULT(write(fd, text, n)); break;
    default:
        RESULT(read(fd, text + 4096, 0));
        RESULT(fcntl(fd, F_GETFL));
    }
}

static int repeat(void) {
    const char *tmp = getenv("TMPDIR");
    snprintf(dir, sizeof dir, "%s/opens-XXXXXX", tmp && strlen(tmp) < 32 ? tmp : "/tmp");
    CHECK(mkdtemp(dir));
    static const long sizes[] = {0, 1, 50, 4096, 65535, 65536, 65537, 200000};
    enum { FILES = sizeof sizes / sizeof *sizes };
    static char text[200000];
    for (long i = 0; i < (long)sizeof text; i++) text[i] = mix(i);
    for (long i = 0; i < FILES; i++) put(in_dir("f", i), text, sizes[i]);
    int other = open(in_dir("other", 0), O_CREAT | O_RDWR, 0600);
    CHECK(other >= 0);
    get_ready();
    all = DIGEST_START;
    for (long i = 0; i < times; i++) {
        long which = rnd_below(FILES + 1);
        int fd = which < FILES ? open(in_dir("f", which), O_RDONLY) : open("/proc/self/cmdline", O_RDONLY);
        CHECK(fd >= 0);
        long r;
        if (which == FILES) {
            RESULT(read(fd, text, 5));
            got(r, text);
        } else if (rnd_below(3) == 0) {
            /* As most do. */
            struct stat st;
            RESULT(fstat(fd, &st));
            do RESULT(read(fd, text, 4096));
            while (r > 0);
        } else for (long n = rnd_below(8); n > 0; n--) one_call(fd, other);
        CHECK(close(fd) == 0);
        if (which < FILES && rnd_below(3) == 0) {
            char no[8];
            RESULT(readlink(in_dir("none", which), no, sizeof no));
            RESULT(open(in_dir("none", which), O_RDONLY));
            RESULT(open(in_dir("none", which), rnd() & 1 ? O_RDONLY | O_NOFOLLOW : O_RDONLY | O_DIRECTORY));
            RESULT(readlink(dir, no, sizeof no));
            RESULT(open(dir, O_WRONLY));
        }
        if (i % 64 == 0) say("rounds %ld", i);
    }
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", dir);
    CHECK(system(command) == 0);
    say("digest %016llx", (unsigned long long)all);
    return 0;
}

static int limit(void) {
    char no[8];
    struct rlimit few = {0, 0}, before;
    CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
    get_ready();
    for (int i = 0; i < 40; i++) {
        CHECK(close(open("/etc/passwd", O_RDONLY)) == 0);
        CHECK(readlink("/usr/none", no, sizeof no) < 0 && errno == ENOENT);
        CHECK(open("/usr/none", O_RDONLY) < 0 && errno == ENOENT);
        few = (struct rlimit){i & 1 ? 3 : 0, before.rlim_max};
        CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
        CHECK(readlink("/usr/none", no, sizeof no) < 0 && errno == ENOENT);
        CHECK(open("/usr/none", O_RDONLY) < 0);
        CHECK(errno == EMFILE);
        CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
    }
    /* Another takes them away, and says so. */
    int there[2], back[2];
    CHECK(pipe(there) == 0 && pipe(back) == 0);
    pid_t me = getpid(), other = fork_partner();
    if (other == 0) {
        char byte;
        while (read(there[0], &byte, 1) == 1 && byte != 'e') {
            few = (struct rlimit){byte == 'l' ? 3 : before.rlim_cur, before.rlim_max};
            CHECK(prlimit(me, RLIMIT_NOFILE, &few, NULL) == 0);
            write_all(back[1], "x", 1);
        }
        return 0;
    }
    for (int i = 0; i < 40; i++) {
        char byte;
        CHECK(close(open("/etc/passwd", O_RDONLY)) == 0);
        CHECK(readlink("/usr/none", no, sizeof no) < 0 && open("/usr/none", O_RDONLY) < 0 && errno == ENOENT);
        write_all(there[1], "l", 1);
        CHECK(read(back[0], &byte, 1) == 1);
        CHECK(readlink("/usr/none", no, sizeof no) < 0 && open("/usr/none", O_RDONLY) < 0);
        CHECK(errno == EMFILE);
        write_all(there[1], "m", 1);
        CHECK(read(back[0], &byte, 1) == 1);
    }
    write_all(there[1], "e", 1);
    CHECK(status_of(other) == 0);
    /* With no descriptor left, all of them open. */
    few.rlim_cur = 64;
    CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
    int last = -1, fd;
    while ((fd = open("/etc/passwd", O_RDONLY)) >= 0) last = fd;
    CHECK(errno == EMFILE);
    for (int i = 0; i < 20; i++) {
        CHECK(readlink("/usr/none", no, sizeof no) < 0 && errno == ENOENT);
        CHECK(open("/usr/none", O_RDONLY) < 0 && errno == EMFILE);
        CHECK(close(last) == 0);
        CHECK(readlink("/usr/none", no, sizeof no) < 0 && errno == ENOENT);
        CHECK(open("/usr/none", O_RDONLY) < 0 && errno == ENOENT);
        CHECK(dup(0) == last);
    }
    say("whole");
    return 0;
}

int main(int argc, char **argv) {
    if (argc < 2) usage("opens WHO TIMES SEED");
    times = number(argc, argv, 2, 0);
    rng_state = number(argc, argv, 3, 1);
    if (strcmp(argv[1], "repeat") == 0) return repeat();
    if (strcmp(argv[1], "limit") == 0) return limit();
    return watch(argv[1]);
}
