/*
 * pipes KIND ROUNDS [PAUSE_MS]            two processes, parent and child: KIND is pipe, pair (Unix stream) or packets (Unix seqpacket)
 * pipes fifo|unix DIR ping|pong ROUNDS [PAUSE_MS]    one of two processes that meet in DIR, by FIFOs or a Unix socket
 *
 * Ping sends blocks of random sizes, most larger than the channel's buffer; pong sends each back changed; both check every byte. Prints
 * `ping N` each tenth round and at the end `ping digest ...` and `pong digest ...`.
 */
#include "common.h"
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define MAX_BLOCK (256 << 10)
/* A seqpacket message has to fit the socket's buffer. */
#define MAX_PACKET (32 << 10)

struct channel {
    int in, out;
    int packets;
};
static unsigned char block[MAX_BLOCK], expected[MAX_BLOCK];

static void put(struct channel c, const void *data, size_t n) {
    if (!c.packets) return write_all(c.out, data, n);
    ssize_t w;
    while ((w = send(c.out, data, n, MSG_NOSIGNAL)) < 0) CHECK(errno == EINTR);
    CHECK((size_t)w == n);
}

static void get(struct channel c, void *data, size_t n) {
    if (!c.packets) {
        CHECK(read_all(c.in, data, n) == n);
        return;
    }
    ssize_t r;
    while ((r = recv(c.in, data, MAX_BLOCK, 0)) < 0) CHECK(errno == EINTR);
    CHECK((size_t)r == n);
}

static void pattern(unsigned char *p, size_t n, uint64_t key) {
    for (size_t i = 0; i < n; i++) p[i] = mix(key + i / 8) >> i % 8 * 8;
}

/* Both sides know from the round how long a block is and what is in it. */
static size_t length_of(struct channel c, long round) {
    return 1 + mix(round * 7 + 3) % (c.packets ? MAX_PACKET : MAX_BLOCK);
}

/* The result is for the caller to print: when pong has printed its own. */
static uint64_t ping(struct channel c, long rounds, long pause_ms) {
    uint64_t h = DIGEST_START;
    for (long round = 1; round <= rounds; round++) {
        size_t n = length_of(c, round);
        pattern(block, n, round);
        put(c, block, n);
        get(c, block, n);
        pattern(expected, n, ~round);
        CHECK(memcmp(block, expected, n) == 0);
        h = digest(h, block, n);
        if (round % 10 == 0) say("ping %ld", round);
        if (pause_ms > 0) sleep_ms(pause_ms);
    }
    close(c.out);
    if (c.in != c.out) CHECK(read(c.in, block, 1) == 0);
    return h;
}

static void pong(struct channel c, long rounds) {
    uint64_t h = DIGEST_START;
    for (long round = 1; round <= rounds; round++) {
        size_t n = length_of(c, round);
        get(c, block, n);
        pattern(expected, n, round);
        CHECK(memcmp(block, expected, n) == 0);
        h = digest(h, block, n);
        pattern(block, n, ~round);
        put(c, block, n);
    }
    CHECK(read(c.in, block, 1) == 0);
    say("pong digest %016llx", (unsigned long long)h);
}

/* The child is pong and ends first, so that its line is always the first of the two. */
static void both(struct channel mine, struct channel its, long rounds, long pause_ms) {
    pid_t child = fork_partner();
    if (child == 0) {
        close(mine.in);
        if (mine.out != mine.in) close(mine.out);
        pong(its, rounds);
        exit(0);
    }
    close(its.in);
    if (its.out != its.in) close(its.out);
    uint64_t h = ping(mine, rounds, pause_ms);
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    say("ping digest %016llx", (unsigned long long)h);
}

static int open_fifo(const char *dir, const char *name, int flags) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    CHECK(mkfifo(path, 0600) == 0 || errno == EEXIST);
    int fd = open(path, flags | O_CLOEXEC);
    CHECK(fd >= 0);
    return fd;
}

/* Pong listens; ping tries until somebody does. */
static int open_unix(const char *dir, int listens) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", dir);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    if (!listens) {
        for (int i = 0; i < PATIENCE_S * 100; i++) {
            if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
            CHECK(errno == ENOENT || errno == ECONNREFUSED);
            sleep_ms(10);
        }
        CHECK(!"nobody listens");
    }
    CHECK(bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 1) == 0);
    int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    CHECK(peer >= 0 && unlink(address.sun_path) == 0);
    close(fd);
    return peer;
}

static int meet(int argc, char **argv) {
    int pinging = strcmp(argv[3], "ping") == 0, fifo = strcmp(argv[1], "fifo") == 0;
    long rounds = number(argc, argv, 4, 0), pause_ms = number(argc, argv, 5, 0);
    struct channel c = {0, 0, 0};
    say("ready");
    if (fifo) {
        /* Opening a FIFO waits for the other side: both open them in the same order. */
        int there = open_fifo(argv[2], "there", pinging ? O_WRONLY : O_RDONLY);
        int back = open_fifo(argv[2], "back", pinging ? O_RDONLY : O_WRONLY);
        c = pinging ? (struct channel){back, there, 0} : (struct channel){there, back, 0};
    } else {
        c.in = c.out = open_unix(argv[2], !pinging);
    }
    if (pinging) say("ping digest %016llx", (unsigned long long)ping(c, rounds, pause_ms));
    else pong(c, rounds);
    return 0;
}

int main(int argc, char **argv) {
    static const char text[] = "pipes pipe|pair|packets ROUNDS [PAUSE_MS], pipes fifo|unix DIR ping|pong ROUNDS [PAUSE_MS]";
    if (argc >= 5 && (strcmp(argv[1], "fifo") == 0 || strcmp(argv[1], "unix") == 0)) return meet(argc, argv);
    if (argc < 3) usage(text);
    long rounds = number(argc, argv, 2, 0), pause_ms = number(argc, argv, 3, 0);
    int there[2], back[2];
    say("ready");
    if (strcmp(argv[1], "pipe") == 0) {
        CHECK(pipe(there) == 0 && pipe(back) == 0);
        both((struct channel){back[0], there[1], 0}, (struct channel){there[0], back[1], 0}, rounds, pause_ms);
    } else {
        int packets = strcmp(argv[1], "packets") == 0;
        if (!packets && strcmp(argv[1], "pair") != 0) usage(text);
        CHECK(socketpair(AF_UNIX, packets ? SOCK_SEQPACKET : SOCK_STREAM, 0, there) == 0);
        both((struct channel){there[0], there[0], packets}, (struct channel){there[1], there[1], packets}, rounds, pause_ms);
    }
    return 0;
}
