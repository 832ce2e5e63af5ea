/*
 * own-view ROUNDS [PAUSE_MS [mem]]: what /proc says of the process itself, checked against what it knows of itself and each other, and
 * what is the same each time printed: its areas with their rights and names, its state, sizes, signals, arguments, environment, folders.
 * With `mem` also its own memory through /proc/self/mem, and its smaps.
 */
#include "common.h"
#include <dirent.h>
#include <limits.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

#define MAX_TEXT (1 << 18)
#define PAGE 4096
static char text[MAX_TEXT], again[MAX_TEXT], first[MAX_TEXT];
static char variable[8192] = "data";
extern char **environ;

/* All of a file, read in pieces of `step` bytes; `how`: by pread, or through a copy of the descriptor from the middle on. */
static size_t slurp(const char *path, char *into, size_t step, int how) {
    int fd = open(path, O_RDONLY | O_CLOEXEC), copy = -1;
    size_t n = 0;
    CHECK(fd >= 0);
    for (;;) {
        CHECK(n + step < MAX_TEXT);
        ssize_t got = how == 1 ? pread(fd, into + n, step, n) : read(copy >= 0 ? copy : fd, into + n, step);
        CHECK(got >= 0);
        if (got == 0) break;
        n += got;
        if (how == 2 && copy < 0) CHECK((copy = dup(fd)) >= 0);
    }
    if (how != 1) CHECK(lseek(fd, 0, SEEK_CUR) == (off_t)n && lseek(fd, 0, SEEK_SET) == 0 && read(fd, again, 16) > 0);
    if (copy >= 0) close(copy);
    close(fd);
    into[n] = '\0';
    return n;
}

static long field(const char *key) {
    char *at = strstr(text, key);
    CHECK(at != NULL);
    return strtol(at + strlen(key), NULL, 10);
}

static uint64_t sum;
static void fold(const char *bytes, size_t n) { sum = digest(sum, bytes, n); }

static int by_text(const void *a, const void *b) { return strcmp(a, b); }

/* Bytes of all areas. Those of files are printed, sorted, since where they lie is another thing each time. */
static unsigned long areas(int print) {
    static char files[100][128];
    unsigned long total = 0, previous = 0;
    int code = 0, data = 0, stack = 0, lines = 0;
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        unsigned long start, end, offset, inode;
        unsigned major, minor;
        char rights[5], name[PATH_MAX] = "";
        CHECK(sscanf(line, "%lx-%lx %4s %lx %x:%x %lu %4095s", &start, &end, rights, &offset, &major, &minor, &inode, name) >= 7);
        CHECK(start < end && start >= previous && (inode == 0 || name[0] == '/') && (name[0] == '\0' || strlen(line) > 73));
        previous = end;
        if (strcmp(name, "[vsyscall]") != 0) total += end - start;
        uintptr_t here = (uintptr_t)areas, there = (uintptr_t)variable, frame = (uintptr_t)&total;
        if (start <= here && here < end) code = strcmp(rights, "r-xp") == 0 && strstr(name, "own-view") != NULL;
        if (start <= there && there < end) data = rights[1] == 'w';
        if (start <= frame && frame < end) stack = strcmp(name, "[stack]") == 0 && end - start < 1 << 20;
        if (strncmp(name, "/tmp", 4) == 0) name[0] = '\0';
        if (inode != 0 && lines < 100) snprintf(files[lines++], sizeof *files, "%s %lx %.90s", rights, offset, name);
    }
    CHECK(code && data && stack);
    qsort(files, lines, sizeof *files, by_text);
    for (int i = 0; i < lines && print; i++) say("%s", files[i]);
    return total;
}

static void statuses(unsigned long size) {
    static const char *const same[] = {"Umask",  "Threads", "SigBlk",     "SigIgn",  "SigCgt", "CapEff", "NoNewPrivs",
                                       "Seccomp", "VmExe",  "VmLib", "VmLck", "Groups"};
    static char told[sizeof same / sizeof *same][256];
    slurp("/proc/self/status", text, 100, 0);
    CHECK(strncmp(text, "Name:\town-view", 14) == 0 && strstr(text, "\nState:\tR (running)\n") != NULL);
    CHECK(field("\nPid:\t") == getpid() && field("\nTgid:\t") == getpid() && field("\nPPid:\t") == getppid());
    /* Not the tracer: a process that is about to leave has one for a moment. */
    CHECK(field("\nUid:\t") == (long)getuid() && field("\nThreads:\t") == 1);
    if ((unsigned long)field("\nVmSize:\t") * 1024 != size) dprintf(2, "%.80s for %lu kB\n", strstr(text, "VmSize"), size / 1024);
    CHECK((unsigned long)field("\nVmSize:\t") * 1024 == size && field("\nVmPeak:\t") >= field("\nVmSize:\t"));
    CHECK(field("\nVmRSS:\t") > 0 && field("\nVmRSS:\t") <= field("\nVmHWM:\t") + 64 && field("\nVmStk:\t") < 1024);
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        char key[32];
        snprintf(key, sizeof key, "\n%s:\t", same[i]);
        char *at = strstr(text, key);
        CHECK(at != NULL);
        size_t length = strcspn(at + 1, "\n") + 1;
        fold(at, length);
        /* They do not change, so a text of two halves that do not fit shows. */
        if (told[i][0] == '\0') snprintf(told[i], sizeof *told, "%.*s", (int)length, at);
        if (strncmp(told[i], at, strlen(told[i])) == 0 && strlen(told[i]) == length) continue;
        dprintf(2, "was %s\nis %.*s of\n%.900s", told[i], (int)length, at, text);
        exit(1);
    }
    slurp("/proc/self/statm", text, 1000, 0);
    unsigned long pages, resident, shared;
    CHECK(sscanf(text, "%lu %lu %lu", &pages, &resident, &shared) == 3 && pages * PAGE == size && resident > 0 && resident >= shared);
    char path[64], comm[32], state;
    int pid, parent, group, session;
    unsigned long user, system, virtual;
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    snprintf(path, sizeof path, "/proc/%d/stat", getpid());
    slurp(path, text, 1000, 1);
    getrusage(RUSAGE_SELF, &after);
    CHECK(sscanf(text, "%d (%31[^)]) %c %d %d %d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d %*d %*d %*d %*u %lu", &pid, comm, &state,
                 &parent, &group, &session, &user, &system, &virtual) == 9);
    CHECK(pid == getpid() && strcmp(comm, "own-view") == 0 && state == 'R' && parent == getppid() && group == getpgrp());
    CHECK(session == getsid(0) && virtual == size);
    long most = after.ru_utime.tv_sec * 100 + after.ru_utime.tv_usec / 10000 + after.ru_stime.tv_sec * 100 + after.ru_stime.tv_usec / 10000;
    long least = before.ru_utime.tv_sec * 100 + before.ru_stime.tv_sec * 100;
    CHECK((long)(user + system) <= most + 3 && (long)(user + system) >= least - 3);
}

static void strings(char **argv) {
    size_t n = slurp("/proc/self/cmdline", text, 5, 0), at = 0;
    for (char **arg = argv; *arg != NULL; at += strlen(*arg++) + 1) CHECK(at < n && strcmp(text + at, *arg) == 0);
    CHECK(at == n);
    n = slurp("/proc/self/environ", text, 1000, 2), at = 0;
    for (char **var = environ; *var != NULL; at += strlen(*var++) + 1) CHECK(at < n && strcmp(text + at, *var) == 0);
    CHECK(at == n);
}

static void folders(void) {
    char path[PATH_MAX], target[PATH_MAX];
    int found = 0, self = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = opendir("/proc/self/task");
    CHECK(dir != NULL && self >= 0);
    for (struct dirent *e; (e = readdir(dir)) != NULL;) found += e->d_name[0] != '.' && atoi(e->d_name) == getpid();
    CHECK(found == 1);
    closedir(dir);
    ssize_t n = readlink("/proc/self", target, sizeof target);
    CHECK(n > 0 && (target[n] = '\0', atoi(target) == getpid()));
    CHECK((n = readlink("/proc/self/exe", target, sizeof target)) > 0 && (target[n] = '\0', strstr(target, "own-view") != NULL));
    CHECK(getcwd(path, sizeof path) != NULL && (n = readlinkat(self, "cwd", target, sizeof target)) > 0);
    CHECK((target[n] = '\0', strcmp(path, target) == 0));
    snprintf(path, sizeof path, "/proc/self/fd/%d", self);
    CHECK((n = readlink(path, target, sizeof target)) > 0 && (target[n] = '\0', atoi(target + 6) == getpid()));
    /* By another way than its path. */
    int fd = openat(self, "statm", O_RDONLY | O_CLOEXEC);
    unsigned long pages, whole = 0;
    CHECK(fd >= 0 && read(fd, text, 1000) > 0 && sscanf(text, "%lu", &pages) == 1);
    slurp("/proc/self/maps", text, PAGE, 0);
    whole = areas(0);
    CHECK(pages * PAGE == whole);
    volatile uintptr_t nowhere = 8;
    CHECK(read(fd, (void *)nowhere, 1) <= 0);
    close(fd), close(self);
    slurp("/proc/self/limits", text, 1000, 0);
    CHECK(strstr(text, "Max open files") != NULL);
    slurp("/proc/self/comm", text, 1000, 0);
    CHECK(strcmp(text, "own-view\n") == 0 && access("/proc/self/maps", R_OK) == 0);
}

static void machine(void) {
    struct utsname name;
    struct sysinfo info;
    cpu_set_t cpus;
    CHECK(uname(&name) == 0 && sysinfo(&info) == 0 && sched_getaffinity(0, sizeof cpus, &cpus) == 0 && CPU_COUNT(&cpus) > 0);
    CHECK(info.uptime > 0 && info.totalram > 0 && sched_getcpu() >= 0 && sched_getcpu() < sysconf(_SC_NPROCESSORS_CONF));
    fold(name.nodename, strlen(name.nodename));
    fold((char *)&cpus, sizeof cpus);
}

static void own_memory(void) {
    int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
    char got[8];
    CHECK(fd >= 0 && pwrite(fd, "other", 6, (off_t)(uintptr_t)variable) == 6 && strcmp(variable, "other") == 0);
    strcpy(variable, "data");
    CHECK(pread(fd, got, 5, (off_t)(uintptr_t)variable) == 5 && strcmp(got, "data") == 0);
    close(fd);
    slurp("/proc/self/smaps", text, PAGE, 0);
    CHECK(strstr(text, "[stack]") != NULL && field("\nRss:") >= 0);
}

int main(int argc, char **argv) {
    if (argc < 2) usage("own-view ROUNDS [PAUSE_MS [mem]]");
    long rounds = number(argc, argv, 1, 0), pause_ms = number(argc, argv, 2, 0);
    signal(SIGUSR1, SIG_IGN);
    /* Under whatever name the file lies. */
    CHECK(prctl(PR_SET_NAME, "own-view") == 0);
    CHECK(malloc(100) != NULL);
    for (long round = 1; round <= rounds; round++) {
        sum = DIGEST_START;
        slurp("/proc/self/maps", text, round % 2 ? 1024 : PAGE, round % 3);
        /* Nothing is mapped any more, so nothing is another area from now on. */
        if (round == 2) strcpy(first, text);
        for (size_t i = 0; round > 2 && (text[i] != '\0' || first[i] != '\0'); i++) {
            if (text[i] == first[i]) continue;
            while (i > 0 && text[i - 1] != '\n') i--;
            dprintf(2, "was %.100s\nis %.100s\n", first + i, text + i);
            return 1;
        }
        unsigned long size = areas(round == rounds);
        statuses(size);
        strings(argv);
        folders();
        machine();
        if (argc > 3) own_memory();
        say("round %ld %016llx", round, (unsigned long long)sum);
        if (pause_ms > 0) sleep_ms(pause_ms);
    }
    return 0;
}
