/*
 * through: for each line "WAY KIND SIZE BYTES" that it reads ("read file 4096 1048576") moves so many bytes in calls of so many, and
 * prints the milliseconds that took. A file is one of 16 MiB in memory, gone through over and over. At the other end of a pipe
 * is a child that takes, or gives, whatever there is; the children stay where they began.
 */
#define _GNU_SOURCE
#include "timing.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define FILE_BYTES (16 << 20)
#define MOST (1 << 20)
static char buffer[MOST];
static int file, sink, source;

/* The parent's end of a pipe whose other end a child empties, or fills. */
static int begin(int fills) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC)) return -1;
    fcntl(ends[0], F_SETPIPE_SZ, MOST);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(ends[!fills]);
        while ((fills ? write(ends[1], buffer, MOST) : read(ends[0], buffer, MOST)) > 0);
        _exit(0);
    }
    close(ends[fills]);
    return pid > 0 ? ends[!fills] : -1;
}

static int move(int writes, int files, size_t size, size_t bytes) {
    int fd = files ? file : writes ? sink : source;
    for (size_t done = 0; done < bytes;) {
        size_t left = bytes - done, at = done % FILE_BYTES, n = left < size ? left : size;
        if (files && n > FILE_BYTES - at) n = FILE_BYTES - at;
        ssize_t r;
        if (files) r = writes ? pwrite(fd, buffer, n, at) : pread(fd, buffer, n, at);
        else r = writes ? write(fd, buffer, n) : read(fd, buffer, n);
        if (r <= 0) return 0;
        done += r;
    }
    return 1;
}

int main(void) {
    char line[128], way[8], kind[8];
    size_t size, bytes;
    memset(buffer, 'x', sizeof buffer);
    file = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    sink = begin(0);
    source = begin(1);
    if (file < 0 || sink < 0 || source < 0 || !move(1, 1, MOST, FILE_BYTES)) {
        perror("through");
        return 1;
    }
    while (fgets(line, sizeof line, stdin) && sscanf(line, "%7s %7s %zu %zu", way, kind, &size, &bytes) == 4) {
        double start = now_us();
        if (size > MOST || !move(!strcmp(way, "write"), !strcmp(kind, "file"), size, bytes)) {
            perror(line);
            return 1;
        }
        printf("%.3f\n", (now_us() - start) / 1e3);
        fflush(stdout);
    }
    return 0;
}
