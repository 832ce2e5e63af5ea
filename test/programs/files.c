/*
 * files DIR ROUNDS [SEED [PAUSE_MS]]: random operations on a few files in a directory of its own under DIR, each compared with a model of
 * the files kept in memory. Prints `round N DIGEST`; a difference ends it with status 1. Leaves DIR as it was.
 */
#include "common.h"
#include <dirent.h>
#include <limits.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>

#define FILES 12
#define OPS_A_ROUND 40
/* Larger than any buffer that a call could be forwarded through. */
#define MAX_SIZE (3 << 20)
#define SPAN (96 << 10)

static struct {
    char name[16];
    int exists;
    size_t size;
    unsigned mode;
    unsigned char *data;
} files[FILES];
static int dir_fd;
static unsigned char *scratch;

static void random_bytes(unsigned char *p, size_t n) {
    for (size_t i = 0; i < n; i += 8) {
        uint64_t v = rnd();
        memcpy(p + i, &v, n - i < 8 ? n - i : 8);
    }
}

/* What the model says a write at an offset does: a gap becomes zeros. */
static void model_write(int f, size_t at, const unsigned char *p, size_t n) {
    if (at > files[f].size) memset(files[f].data + files[f].size, 0, at - files[f].size);
    memcpy(files[f].data + at, p, n);
    if (at + n > files[f].size) files[f].size = at + n;
}

static int open_file(int f, int flags) {
    int fd = openat(dir_fd, files[f].name, flags | O_CLOEXEC, 0640);
    CHECK(fd >= 0);
    return fd;
}

static void compare(int f) {
    int fd = open_file(f, O_RDONLY);
    struct stat st;
    CHECK(fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (size_t)st.st_size == files[f].size);
    CHECK((st.st_mode & 07777) == files[f].mode && st.st_uid == geteuid());
    CHECK(read_all(fd, scratch, MAX_SIZE) == files[f].size);
    CHECK(memcmp(scratch, files[f].data, files[f].size) == 0);
    close(fd);
}

static void op_create(int f) {
    int fd = openat(dir_fd, files[f].name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0640);
    if (files[f].exists) {
        CHECK(fd == -1 && errno == EEXIST);
        return;
    }
    CHECK(fd >= 0);
    files[f].exists = 1;
    files[f].size = 0;
    files[f].mode = 0640;
    close(fd);
}

static void op_pwrite(int f) {
    size_t at = rnd_below(SPAN), n = rnd_below(rnd_below(8) ? 5000 : 1 << 20);
    int fd = open_file(f, O_RDWR);
    random_bytes(scratch, n);
    for (size_t done = 0; done < n;) {
        ssize_t w = pwrite(fd, scratch + done, n - done, at + done);
        CHECK(w > 0);
        done += w;
    }
    CHECK(lseek(fd, 0, SEEK_CUR) == 0);
    if (n > 0) model_write(f, at, scratch, n);
    close(fd);
}

static void op_append(int f) {
    int fd = open_file(f, O_WRONLY | O_APPEND);
    for (int i = 0; i < 3; i++) {
        size_t n = 1 + rnd_below(3000);
        if (files[f].size + n > MAX_SIZE) break;
        random_bytes(scratch, n);
        CHECK(lseek(fd, rnd_below(100), SEEK_SET) >= 0);
        CHECK(write(fd, scratch, n) == (ssize_t)n);
        CHECK((size_t)lseek(fd, 0, SEEK_CUR) == files[f].size + n);
        model_write(f, files[f].size, scratch, n);
    }
    CHECK((fcntl(fd, F_GETFL) & (O_APPEND | O_ACCMODE)) == (O_APPEND | O_WRONLY));
    close(fd);
}

static void op_vectors(int f) {
    size_t part[3], total = 0, at = rnd_below(SPAN);
    struct iovec out[3], in[3];
    int fd = open_file(f, O_RDWR);
    for (int i = 0; i < 3; i++) {
        part[i] = rnd_below(9000);
        out[i] = (struct iovec){scratch + total, part[i]};
        total += part[i];
    }
    random_bytes(scratch, total);
    CHECK((size_t)lseek(fd, at, SEEK_SET) == at && writev(fd, out, 3) == (ssize_t)total);
    if (total > 0) model_write(f, at, scratch, total);
    unsigned char *back = scratch + MAX_SIZE / 2;
    memset(back, 0x55, total);
    for (int i = 0, k = 0; i < 3; k += part[2 - i], i++) in[i] = (struct iovec){back + k, part[2 - i]};
    CHECK(preadv(fd, in, 3, at) == (ssize_t)total && memcmp(back, scratch, total) == 0);
    close(fd);
}

static void op_truncate(int f) {
    size_t size = rnd_below(SPAN);
    int fd = open_file(f, O_RDWR);
    CHECK(ftruncate(fd, size) == 0);
    if (size > files[f].size) memset(files[f].data + files[f].size, 0, size - files[f].size);
    files[f].size = size;
    close(fd);
}

static void op_rename(int f) {
    int to = rnd_below(FILES);
    CHECK(renameat(dir_fd, files[f].name, dir_fd, files[to].name) == 0);
    if (to == f) return;
    unsigned char *data = files[to].data;
    files[to].data = files[f].data;
    files[to].size = files[f].size;
    files[to].mode = files[f].mode;
    files[to].exists = 1;
    files[f].data = data;
    files[f].exists = 0;
}

static void op_links(int f) {
    struct stat st;
    char target[64];
    CHECK(linkat(dir_fd, files[f].name, dir_fd, "hard", 0) == 0);
    CHECK(fstatat(dir_fd, "hard", &st, 0) == 0 && st.st_nlink == 2 && (size_t)st.st_size == files[f].size);
    CHECK(unlinkat(dir_fd, "hard", 0) == 0);
    CHECK(symlinkat(files[f].name, dir_fd, "soft") == 0);
    ssize_t n = readlinkat(dir_fd, "soft", target, sizeof target);
    CHECK(n == (ssize_t)strlen(files[f].name) && memcmp(target, files[f].name, n) == 0);
    CHECK(fstatat(dir_fd, "soft", &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode));
    CHECK(openat(dir_fd, "soft", O_RDONLY | O_NOFOLLOW) == -1 && errno == ELOOP);
    CHECK(unlinkat(dir_fd, "soft", 0) == 0);
}

static void op_unlink(int f) {
    /* An unlinked file goes on as long as it is open. */
    int fd = open_file(f, O_RDWR);
    CHECK(unlinkat(dir_fd, files[f].name, 0) == 0);
    size_t n = files[f].size < 4096 ? files[f].size : 4096;
    CHECK(pread(fd, scratch, n, 0) == (ssize_t)n && memcmp(scratch, files[f].data, n) == 0);
    close(fd);
    files[f].exists = 0;
    CHECK(faccessat(dir_fd, files[f].name, F_OK, 0) == -1 && errno == ENOENT);
}

static void op_attributes(int f) {
    struct stat st;
    struct timespec times[2] = {{1000000000 + rnd_below(1000), rnd_below(NS_PER_S)}, {1100000000 + rnd_below(1000), rnd_below(NS_PER_S)}};
    files[f].mode = 0600 | (rnd() & 0177);
    CHECK(fchmodat(dir_fd, files[f].name, files[f].mode, 0) == 0);
    CHECK(utimensat(dir_fd, files[f].name, times, 0) == 0);
    CHECK(fstatat(dir_fd, files[f].name, &st, 0) == 0 && (st.st_mode & 07777) == files[f].mode);
    CHECK(st.st_mtim.tv_sec == times[1].tv_sec && st.st_mtim.tv_nsec == times[1].tv_nsec);
}

static void op_locks(int f) {
    int a = open_file(f, O_RDWR), b = open_file(f, O_RDWR);
    CHECK(flock(a, LOCK_EX) == 0 && flock(b, LOCK_EX | LOCK_NB) == -1 && errno == EWOULDBLOCK);
    CHECK(flock(a, LOCK_UN) == 0 && flock(b, LOCK_SH | LOCK_NB) == 0 && flock(b, LOCK_UN) == 0);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 20};
    CHECK(fcntl(a, F_OFD_SETLK, &lock) == 0);
    struct flock query = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 100};
    CHECK(fcntl(b, F_OFD_GETLK, &query) == 0 && query.l_type == F_WRLCK && query.l_start == 10 && query.l_len == 20);
    query = (struct flock){.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 100};
    CHECK(fcntl(b, F_OFD_SETLK, &query) == -1 && errno == EAGAIN);
    close(a);
    lock.l_pid = 0;
    CHECK(fcntl(b, F_SETLKW, &lock) == 0);
    close(b);
}

static void op_descriptors(int f) {
    int a = open_file(f, O_RDONLY), b = dup(a), c = fcntl(a, F_DUPFD_CLOEXEC, 100);
    CHECK(b >= 0 && c >= 100 && (fcntl(c, F_GETFD) & FD_CLOEXEC) && !(fcntl(b, F_GETFD) & FD_CLOEXEC));
    CHECK(lseek(a, 7, SEEK_SET) == 7 && lseek(b, 0, SEEK_CUR) == 7 && lseek(c, 3, SEEK_CUR) == 10 && lseek(a, 0, SEEK_CUR) == 10);
    CHECK(dup2(a, c) == c && fcntl(c, F_GETFD) == 0 && dup3(a, c, O_CLOEXEC) == c);
    CHECK(lseek(a, 0, SEEK_END) == (off_t)files[f].size);
    close(a), close(b), close(c);
    CHECK(lseek(c, 0, SEEK_CUR) == -1 && errno == EBADF);
}

static void op_copy(int f) {
    int in = open_file(f, O_RDONLY), out = openat(dir_fd, "copy", O_CREAT | O_RDWR | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(out >= 0);
    size_t done = 0;
    /* How often it goes round is the kernel's affair: chance of its own, so that what comes after does not depend on that. */
    uint64_t how = rnd();
    while (done < files[f].size) {
        ssize_t n = (how = mix(how)) & 1 ? sendfile(out, in, NULL, files[f].size - done) : copy_file_range(in, NULL, out, NULL, 10000, 0);
        CHECK(n > 0);
        done += n;
    }
    CHECK(lseek(out, 0, SEEK_SET) == 0 && read_all(out, scratch, MAX_SIZE) == done && memcmp(scratch, files[f].data, done) == 0);
    CHECK(fsync(out) == 0 && unlinkat(dir_fd, "copy", 0) == 0);
    close(in), close(out);
}

static void op_errors(int f) {
    int fd = open_file(f, O_RDONLY), bad = *(volatile int *)&(int){8};
    CHECK(write(fd, scratch, 1) == -1 && errno == EBADF);
    CHECK(files[f].size == 0 || (read(fd, (void *)(intptr_t)bad, 10) == -1 && errno == EFAULT));
    CHECK(openat(dir_fd, (char *)(intptr_t)bad, O_RDONLY) == -1 && errno == EFAULT);
    CHECK(openat(fd, "x", O_RDONLY) == -1 && errno == ENOTDIR);
    CHECK(read(dir_fd, scratch, 1) == -1 && errno == EISDIR);
    CHECK(openat(dir_fd, "absent", O_RDONLY) == -1 && errno == ENOENT);
    CHECK(pread(fd, scratch, 1, -1) == -1 && errno == EINVAL);
    memset(scratch, 'n', PATH_MAX);
    scratch[300] = '\0';
    CHECK(openat(dir_fd, (char *)scratch, O_RDONLY) == -1 && errno == ENAMETOOLONG);
    close(fd);
}

static void op_directories(int f) {
    char before[PATH_MAX], inside[PATH_MAX];
    CHECK(mkdirat(dir_fd, "sub", 0700) == 0 && getcwd(before, sizeof before) != NULL);
    int old = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    CHECK(old >= 0 && fchdir(dir_fd) == 0 && chdir("sub") == 0 && getcwd(inside, sizeof inside) != NULL);
    CHECK(strcmp(inside + strlen(inside) - 4, "/sub") == 0);
    char up[32];
    snprintf(up, sizeof up, "../%s", files[f].name);
    CHECK(access(up, R_OK) == 0 && mkfifo("fifo", 0600) == 0 && rmdir("../sub") == -1 && errno == ENOTEMPTY);
    CHECK(unlink("fifo") == 0 && fchdir(old) == 0 && unlinkat(dir_fd, "sub", AT_REMOVEDIR) == 0);
    CHECK(getcwd(inside, sizeof inside) != NULL && strcmp(before, inside) == 0);
    close(old);
}

/* Names in the directory are those of the model, no more and no fewer. */
static void op_list(int f) {
    (void)f;
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), found = 0, expected = 0;
    DIR *dir = fdopendir(fd);
    CHECK(dir != NULL);
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        int known = 0;
        for (int i = 0; i < FILES; i++) known |= files[i].exists && strcmp(files[i].name, e->d_name) == 0;
        CHECK(known);
        found++;
    }
    for (int i = 0; i < FILES; i++) expected += files[i].exists;
    CHECK(found == expected);
    closedir(dir);
}

static void (*const ops[])(int) = {op_create,     op_pwrite, op_append,      op_vectors, op_truncate, op_rename,      op_links, op_unlink,
                                   op_attributes, op_locks,  op_descriptors, op_copy,    op_errors,   op_directories, op_list,  compare};
#define OPS (sizeof ops / sizeof *ops)

int main(int argc, char **argv) {
    if (argc < 3) usage("files DIR ROUNDS [SEED [PAUSE_MS]]");
    long rounds = number(argc, argv, 2, 0), pause_ms = number(argc, argv, 4, 0);
    rng_state = mix(number(argc, argv, 3, 1));
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/files-XXXXXX", argv[1]);
    umask(027);
    CHECK(mkdtemp(path) != NULL && (dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) >= 0);
    scratch = malloc(MAX_SIZE + PATH_MAX);
    for (int f = 0; f < FILES; f++) {
        snprintf(files[f].name, sizeof files[f].name, "file-%d", f);
        files[f].data = calloc(1, MAX_SIZE);
    }
    say("ready");
    uint64_t h = DIGEST_START;
    for (long round = 1; round <= rounds; round++) {
        for (int i = 0; i < OPS_A_ROUND; i++) {
            int f = rnd_below(FILES), op = rnd_below(OPS);
            /* Only creation and listing make sense of a file that is not there. */
            if (!files[f].exists && ops[op] != op_list) op = 0;
            ops[op](f);
        }
        for (int f = 0; f < FILES; f++) {
            if (!files[f].exists) continue;
            compare(f);
            h = digest_u64(digest(h, files[f].data, files[f].size), files[f].size << 12 | files[f].mode);
        }
        say("round %ld %016llx", round, (unsigned long long)h);
        if (pause_ms > 0) sleep_ms(pause_ms);
    }
    for (int f = 0; f < FILES; f++) {
        if (files[f].exists) CHECK(unlinkat(dir_fd, files[f].name, 0) == 0);
    }
    CHECK(rmdir(path) == 0);
    say("digest %016llx", (unsigned long long)h);
    return 0;
}
