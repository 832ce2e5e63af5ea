/*
 * calls: for each line "getppid COUNT", "write COUNT" or "readlink COUNT" that it reads, makes so many of these calls (write: 4 KiB to
 * /dev/null; readlink: of a directory, always the same) and prints the median time of one in microseconds.
 */
#define _GNU_SOURCE
#include "timing.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void) {
    static char page[4096], line[64], name[16];
    size_t count;
    int fd = open("/dev/null", O_WRONLY);
    memset(page, 'x', sizeof page);
    while (fgets(line, sizeof line, stdin) && sscanf(line, "%15s %zu", name, &count) == 2) {
        double *took = calloc(count, sizeof *took);
        int writes = !strcmp(name, "write"), links = !strcmp(name, "readlink");
        for (size_t i = 0; i < count; i++) {
            double start = now_us();
            if (links) {
                if (readlink("/dev", page, sizeof page) >= 0) return 1;
            } else if (writes ? write(fd, page, sizeof page) != sizeof page : syscall(SYS_getppid) < 0) return 1;
            took[i] = now_us() - start;
        }
        printf("%.3f\n", median_of(took, count));
        fflush(stdout);
        free(took);
    }
    return 0;
}
