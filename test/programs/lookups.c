/*
 * lookups WHO TIMES SEED: looks up names that come into being one after the other, over and over, while another makes them: WHO is a
 * `process` that tells by a pipe, one that tells by `signals`, a `thread`, or a `child` of its own that it makes once it runs. Whatever
 * it has been told of, or has seen a later one of, must be there: it says which was not, and exits with 1. Names come as files, as
 * what is in a directory that gets its name, as symbolic links in the place of files, and as the new name of what had another.
 * Prints `ready`, begins once it gets SIGUSR1, prints `looks N` now and then, and `whole` at the end.
 *
 * lookups repeat TIMES: likewise looks the same few names up so often, by every call that does, and prints a digest of the results.
 */
#include "common.h"
#include "told.h"
#include <limits.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define KINDS 4
#define WINDOW 6

static char dir[64];
static long times;
static int by_signal;

static void name(char *out, long i, int old) {
    /* Names sort in both directions, as what is asked in one go is in the order of names. */
    const char *letter = old ? (i & 8 ? "a" : "z") : "m";
    switch (i % KINDS) {
    case 1: snprintf(out, PATH_MAX, "%s/%s%ld/in/it", dir, letter, i); break;
    default: snprintf(out, PATH_MAX, "%s/%s%ld", dir, letter, i);
    }
}

static void make_file(const char *path) {
    int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    CHECK(fd >= 0 && close(fd) == 0);
}

/* What is there before: nothing, or what gets its name later. */
static void prepare(long i) {
    char path[PATH_MAX], more[PATH_MAX + 8];
    name(path, i, 1);
    if (i % KINDS == 1) {
        snprintf(more, sizeof more, "%s/z-%ld", dir, i);
        CHECK(mkdir(more, 0700) == 0);
        strcat(more, "/in");
        CHECK(mkdir(more, 0700) == 0);
        strcat(more, "/it");
        make_file(more);
    } else if (i % KINDS == 2) {
        name(path, i, 0);
        make_file(path);
        snprintf(more, sizeof more, "%s/l-%ld", dir, i);
        CHECK(symlink("anything", more) == 0);
    } else if (i % KINDS == 3) make_file(path);
}

static void come_into_being(long i) {
    char path[PATH_MAX], from[PATH_MAX];
    name(path, i, 0);
    if (i % KINDS == 1) {
        char to[PATH_MAX];
        snprintf(from, sizeof from, "%s/z-%ld", dir, i);
        snprintf(to, sizeof to, "%s/m%ld", dir, i);
        CHECK(rename(from, to) == 0);
    } else if (i % KINDS == 2) {
        snprintf(from, sizeof from, "%s/l-%ld", dir, i);
        CHECK(rename(from, path) == 0);
    } else if (i % KINDS == 3) {
        name(from, i, 1);
        CHECK(rename(from, path) == 0);
    } else make_file(path);
}

static void linger(void) {
    if (rnd_below(4) == 0) return;
    struct timespec t = {0, rnd_below(3000) * 1000};
    nanosleep(&t, NULL);
}

static void make_all(int fd, pid_t whom) {
    for (long i = 0; i < times; i++) {
        linger();
        prepare(i + WINDOW);
        come_into_being(i);
        /* Told of at once, or only seen. */
        if (fd >= 0) write_all(fd, "x", 1);
        else if (whom) while (sigqueue(whom, SIGRTMIN, (union sigval){0}) != 0) CHECK(errno == EAGAIN);
        else atomic_store(&told, i + 1);
    }
}

static void *thread(void *arg) {
    make_all(-1, 0);
    return arg;
}

/* Whether a name is there yet. */
static int look(long i, int old) {
    char path[PATH_MAX], text[64];
    struct stat st;
    struct statx stx;
    name(path, i, old);
    if (i % KINDS == 2) {
        ssize_t n = rnd() & 1 ? readlink(path, text, sizeof text) : readlinkat(AT_FDCWD, path, text, sizeof text);
        CHECK(n == 8 || (n < 0 && errno == EINVAL));
        return n == 8;
    }
    int r = -1;
    /* Mostly the same way, or it would be another question each time. */
    switch (rnd_below(8) ? i / KINDS % 5 : (long)rnd_below(6)) {
    case 0: r = stat(path, &st); break;
    case 1: r = lstat(path, &st); break;
    case 2: r = access(path, F_OK); break;
    case 3: r = statx(AT_FDCWD, path, 0, STATX_MODE, &stx); break;
    case 4:
        r = readlink(path, text, sizeof text);
        if (r < 0 && errno == EINVAL) return 1;
        break;
    default:
        r = open(path, O_RDONLY | O_CLOEXEC);
        if (r >= 0) CHECK(close(r) == 0);
    }
    CHECK(r >= 0 || errno == ENOENT);
    return r >= 0;
}

static void need(long i, long known, const char *why) {
    if (look(i, 0)) return;
    say("wrong: %ld is not there, though %ld are: %s", i, known, why);
    exit(1);
}

#define RESULT(call) (errno = 0, r = (call), h = digest_u64(h, (uint64_t)r << 32 | errno))

static int repeat(void) {
    static const char *const names[] = {"/usr", "/usr/none/more", "/etc/passwd/no"};
    uint64_t h = DIGEST_START;
    long r;
    char text[8];
    struct stat st;
    struct statx stx;
    get_ready();
    for (long i = 0; i < times; i++) {
        const char *path = names[i % (sizeof names / sizeof *names)];
        RESULT(syscall(SYS_readlink, path, text, sizeof text));
        RESULT(syscall(SYS_readlink, path, text, 0));
        RESULT(syscall(SYS_readlink, path, 8, 8));
        RESULT(stat(path, &st));
        RESULT(syscall(SYS_lstat, path, 8));
        RESULT(access(path, R_OK));
        RESULT(access(path, 64));
        RESULT(statx(AT_FDCWD, path, 0, STATX_MODE, &stx));
        RESULT(fstatat(99, path, &st, 0));
        RESULT(faccessat(AT_FDCWD, path, X_OK, AT_EACCESS));
        RESULT(syscall(SYS_stat, 8, &st));
        if (i % 97 == 0) CHECK(chdir(i % 2 ? "/" : "/usr") == 0);
        RESULT(access("lib", F_OK));
        RESULT(access("none", F_OK));
        if (i % 256 == 0) say("looks %ld", i);
    }
    say("digest %016llx", (unsigned long long)h);
    return 0;
}

int main(int argc, char **argv) {
    if (argc < 3) usage("lookups WHO TIMES SEED");
    const char *who = argv[1];
    times = number(argc, argv, 2, 0);
    rng_state = number(argc, argv, 3, 1);
    if (strcmp(who, "repeat") == 0) return repeat();
    by_signal = strcmp(who, "signals") == 0;
    const char *tmp = getenv("TMPDIR");
    snprintf(dir, sizeof dir, "%s/lookups-XXXXXX", tmp && strlen(tmp) < 32 ? tmp : "/tmp");
    CHECK(mkdtemp(dir));
    for (long i = 0; i < WINDOW; i++) prepare(i);
    int go[2], ends[2];
    CHECK(pipe(go) == 0 && pipe2(ends, O_NONBLOCK) == 0);
    if (by_signal) {
        struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
        CHECK(sigaction(SIGRTMIN, &action, NULL) == 0);
    }
    pid_t me = getpid(), other = 0;
    int is_thread = strcmp(who, "thread") == 0, later = strcmp(who, "child") == 0;
    if (!is_thread && !later && (other = fork_partner()) == 0) {
        char byte;
        CHECK(read_all(go[0], &byte, 1) == 1);
        make_all(by_signal ? -1 : ends[1], me);
        return 0;
    }
    get_ready();
    pthread_t t;
    if (is_thread) CHECK(pthread_create(&t, NULL, thread, NULL) == 0);
    else if (later && (other = fork_partner()) == 0) {
        make_all(ends[1], 0);
        return 0;
    } else write_all(go[1], "x", 1);
    told_by = is_thread || by_signal ? -1 : ends[0];
    long seen = 0, looks = 0;
    while (seen < times) {
        if (rnd_below(8) == 0) hear();
        long known = atomic_load(&told);
        if (known > seen) {
            /* What it has just heard of, the earliest first or last. */
            long at = rnd() & 1 ? known - 1 : seen;
            need(at, known, "it was told so");
            seen = known;
        }
        int in_order = rnd() & 1;
        for (long i = 0; i < WINDOW + 1; i++, looks++) {
            long at = seen - 1 + (in_order ? i : (long)rnd_below(WINDOW + 1));
            if (at < 0 || at >= times + WINDOW) continue;
            if (at < seen) need(at, seen, "it was there");
            else if (at < times && look(at, 0)) {
                /* All before it are there as well: heard of soon, seen already. */
                for (long b = at - 1; b >= seen - 1 && b >= 0; b--) need(b, at + 1, "a later one is");
                seen = at + 1;
            } else if (at < times && at % KINDS == 3 && !look(at, 1)) {
                /* It has lost its old name, so it has the new one. */
                need(at, at, "it has not its old name any more");
            }
        }
        if ((looks & 1023) < WINDOW + 1) say("looks %ld", looks);
    }
    if (is_thread) CHECK(pthread_join(t, NULL) == 0);
    else {
        atomic_store(&told, times);
        CHECK(status_of(other) == 0);
    }
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", dir);
    CHECK(system(command) == 0);
    say("whole");
    return 0;
}
