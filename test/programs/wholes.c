/*
 * wholes ROUNDS: writes and sends that wait for room, of many sizes, to readers that take their time, and that are not looked at whether
 * they wrote all. Signals that are ignored or blocked come meanwhile; neither they nor moves may cut one short. A handler does.
 */
#define _GNU_SOURCE
#include <sys/socket.h>
#include "nuisance.h"

static const size_t SIZES[] = {70000, 200000, 1 << 20, 3 << 20};
enum { N = sizeof SIZES / sizeof SIZES[0], MOST = 3 << 20 };
static char data[MOST];

/* Reads slowly, and says at the end what it has got. */
static _Noreturn void reader(int fd, int to) {
    static char some[8192];
    uint64_t sum = DIGEST_START;
    for (;;) {
        ssize_t n = read(fd, some, sizeof some);
        if (n == 0) break;
        CHECK(n > 0);
        sum = digest(sum, some, n);
        if (rnd_below(12) == 0) sleep_ms(rnd_below(5));
    }
    CHECK(write(to, &sum, sizeof sum) == sizeof sum);
    _exit(0);
}

static void to_reader(const char *way, int round) {
    int ends[2], answer[2], sockets = strcmp(way, "pipe") != 0;
    uint64_t sum = DIGEST_START, got;
    CHECK((sockets ? socketpair(AF_UNIX, SOCK_STREAM, 0, ends) : pipe(ends)) == 0 && pipe(answer) == 0);
    pid_t child = fork_partner();
    if (child == 0) {
        close(ends[1]);
        reader(ends[0], answer[1]);
    }
    close(ends[0]);
    for (int i = 0; i < N; i++) {
        memset(data, 'a' + (round + i) % 26, SIZES[i]);
        sum = digest(sum, data, SIZES[i]);
        ssize_t n = strcmp(way, "send") == 0 ? send(ends[1], data, SIZES[i], MSG_NOSIGNAL) : write(ends[1], data, SIZES[i]);
        if (n != (ssize_t)SIZES[i]) fail_check(way, (int)n, "all of it is written");
    }
    close(ends[1]);
    CHECK(read_all(answer[0], &got, sizeof got) == sizeof got && got == sum && status_of(child) == 0);
    close(answer[0]), close(answer[1]);
    say("%s %d %016llx", way, round, (unsigned long long)sum);
}

/* Nobody reads, and a handler ends it: then it tells how much there was room for. */
static void cut_by_handler(void) {
    int ends[2];
    CHECK(pipe(ends) == 0 && fcntl(ends[1], F_SETPIPE_SZ, 65536) == 65536);
    begin_alarms();
    CHECK(write(ends[1], data, 100000) == 65536 && handled > 0);
    sig_atomic_t before = handled;
    CHECK(write(ends[1], data, 100000) == -1 && errno == EINTR && handled > before);
    end_alarms();
    close(ends[0]), close(ends[1]);
    say("cut by a handler");
}

int main(int argc, char **argv) {
    if (argc < 2) usage("wholes ROUNDS");
    pid_t other = begin_nuisance(5, 20);
    long rounds = number(argc, argv, 1, 0);
    for (int round = 0; round < rounds; round++) {
        to_reader("pipe", round);
        to_reader("write", round);
        to_reader("send", round);
        cut_by_handler();
    }
    CHECK(kill(other, SIGKILL) == 0 && status_of(other) == 1000 + SIGKILL);
    return 0;
}
