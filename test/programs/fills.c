/*
 * fills ROUNDS: reads that end when all is there, and that are not looked at whether they do: receives that wait for all, from senders that
 * take their time; memory devices, and random bytes. Signals that are ignored or blocked come meanwhile; neither they nor moves may
 * cut one short. The end of a stream does, and a handler.
 */
#include "nuisance.h"
#include <sys/random.h>
#include <sys/socket.h>

static const size_t SIZES[] = {3, 1000, 70000, 700000};
enum { N = sizeof SIZES / sizeof SIZES[0], MOST = 700000, LARGE = 4 << 20 };
static unsigned char data[LARGE];

static unsigned char byte_at(uint64_t at) {
    return mix(at / 8) >> at % 8 * 8;
}

/* Sends all of it in pieces, in its own time, and ends with one byte more. */
static _Noreturn void sender(int fd, uint64_t total) {
    static unsigned char piece[30000];
    for (uint64_t at = 0; at < total;) {
        size_t n = 1 + rnd_below(total - at < sizeof piece ? total - at : sizeof piece);
        for (size_t i = 0; i < n; i++) piece[i] = byte_at(at + i);
        write_all(fd, piece, n);
        at += n;
        if (rnd_below(4) == 0) sleep_ms(rnd_below(8));
    }
    _exit(0);
}

static void receives(int round) {
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    uint64_t total = 1, at = 0;
    for (int i = 0; i < N; i++) total += SIZES[i];
    pid_t child = fork_partner();
    if (child == 0) {
        close(ends[0]);
        rng_state = round;
        sender(ends[1], total);
    }
    close(ends[1]);
    for (int i = 0; i < N; at += SIZES[i++]) {
        ssize_t n = recv(ends[0], data, SIZES[i], MSG_WAITALL);
        if (n != (ssize_t)SIZES[i]) fail_check("recv", (int)n, "it waits for all");
        for (size_t k = 0; k < SIZES[i]; k++) CHECK(data[k] == byte_at(at + k));
    }
    CHECK(recv(ends[0], data, 1000, MSG_WAITALL) == 1 && data[0] == byte_at(at));
    CHECK(recv(ends[0], data, 1000, MSG_WAITALL) == 0 && status_of(child) == 0);
    close(ends[0]);
    say("received %d", round);
}

static int is_zero(const unsigned char *p, size_t n) {
    while (n > 0 && *p == 0) p++, n--;
    return n == 0;
}

/* All of it, to the end. */
static void device(const char *path, int zeros) {
    int fd = open(path, O_RDONLY);
    CHECK(fd >= 0);
    memset(data, zeros ? 1 : 0, sizeof data);
    ssize_t n = read(fd, data, sizeof data);
    if (n != (ssize_t)sizeof data) fail_check(path, (int)n, "all of it is read");
    for (size_t at = 0; at < sizeof data; at += 64) CHECK(is_zero(data + at, 64) == zeros);
    close(fd);
}

static void random_bytes(void) {
    memset(data, 0, sizeof data);
    ssize_t n = getrandom(data, sizeof data, 0);
    if (n != (ssize_t)sizeof data) fail_check("getrandom", (int)n, "all of it is random");
    for (size_t at = 0; at < sizeof data; at += 64) CHECK(!is_zero(data + at, 64));
}

/* A part of it is there, and a handler ends the wait. */
static void cut_by_handler(void) {
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0 && write(ends[1], "part", 4) == 4);
    begin_alarms();
    CHECK(recv(ends[0], data, 100, MSG_WAITALL) == 4 && handled > 0);
    end_alarms();
    close(ends[0]), close(ends[1]);
    say("cut by a handler");
}

int main(int argc, char **argv) {
    if (argc < 2) usage("fills ROUNDS");
    pid_t other = begin_nuisance(2, 10);
    say("ready");
    long rounds = number(argc, argv, 1, 0);
    for (int round = 0; round < rounds; round++) {
        receives(round);
        device("/dev/zero", 1);
        device("/dev/urandom", 0);
        random_bytes();
        cut_by_handler();
    }
    CHECK(kill(other, SIGKILL) == 0 && status_of(other) == 1000 + SIGKILL);
    return 0;
}
