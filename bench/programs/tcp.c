/*
 * Plain TCP, the limit that the figures are compared with.
 *
 *   tcp serve PORT                              prints "ready"; serves connections one after the other until it is killed
 *   tcp pour HOST PORT BYTES                    sends so much and waits for one byte back; prints milliseconds
 *   tcp ping HOST PORT THERE BACK COUNT         prints the median round trip in microseconds
 *
 * A connection begins with {u64 bytes there, u64 bytes back, u64 count}. tcp.ts speaks the same.
 */
#define _GNU_SOURCE
#include "timing.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIECE (256 * 1024)
static char buffer[PIECE];

static void must(int ok, const char *what) {
    if (ok) return;
    perror(what);
    exit(1);
}

static size_t least(uint64_t n) {
    return n < PIECE ? n : PIECE;
}

/* 0 at the end of the stream. */
static int get(int fd, uint64_t n) {
    while (n > 0) {
        ssize_t r = read(fd, buffer, least(n));
        if (r <= 0) return 0;
        n -= r;
    }
    return 1;
}

static void put(int fd, uint64_t n) {
    while (n > 0) {
        ssize_t r = write(fd, buffer, least(n));
        must(r > 0, "write");
        n -= r;
    }
}

static void no_delay(int fd) {
    must(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)) == 0, "TCP_NODELAY");
}

static void serve(int port) {
    int s = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    must(bind(s, (void *)&a, sizeof a) == 0 && listen(s, 8) == 0, "listen");
    puts("ready");
    fflush(stdout);
    for (;;) {
        int c = accept(s, NULL, NULL);
        must(c >= 0, "accept");
        no_delay(c);
        uint64_t head[3];
        if (read(c, head, sizeof head) == sizeof head)
            for (uint64_t i = 0; i < head[2] && get(c, head[0]); i++) put(c, head[1]);
        close(c);
    }
}

static int reach(const char *host, int port, uint64_t there, uint64_t back, uint64_t count) {
    int s = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    must(inet_pton(AF_INET, host, &a.sin_addr) == 1, host);
    must(connect(s, (void *)&a, sizeof a) == 0, "connect");
    no_delay(s);
    uint64_t head[3] = {there, back, count};
    must(write(s, head, sizeof head) == sizeof head, "write");
    return s;
}

int main(int argc, char **argv) {
    memset(buffer, 'x', sizeof buffer);
    if (argc == 3 && !strcmp(argv[1], "serve")) serve(atoi(argv[2]));
    if (argc == 5 && !strcmp(argv[1], "pour")) {
        uint64_t bytes = strtoull(argv[4], NULL, 10);
        int s = reach(argv[2], atoi(argv[3]), bytes, 1, 1);
        double start = now_us();
        put(s, bytes);
        must(get(s, 1), "read");
        printf("%.3f\n", (now_us() - start) / 1e3);
        return 0;
    }
    if (argc == 7 && !strcmp(argv[1], "ping")) {
        uint64_t there = strtoull(argv[4], NULL, 10), back = strtoull(argv[5], NULL, 10), count = strtoull(argv[6], NULL, 10);
        int s = reach(argv[2], atoi(argv[3]), there, back, count);
        double *took = calloc(count, sizeof *took);
        for (uint64_t i = 0; i < count; i++) {
            double start = now_us();
            put(s, there);
            must(get(s, back), "read");
            took[i] = now_us() - start;
        }
        printf("%.3f\n", median_of(took, count));
        return 0;
    }
    fputs("usage: tcp serve PORT | pour HOST PORT BYTES | ping HOST PORT THERE BACK COUNT\n", stderr);
    return 2;
}
