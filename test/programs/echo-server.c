/*
 * echo-server [PORT]: a TCP echo server for many clients on one thread, by poll. Prints `listening PORT` (port 0 picks one).
 * SIGTERM ends it with `echoed BYTES`, status 0.
 */
#include "common.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#define MAX_CLIENTS 128
#define BUFFER 65536

/* What a client sent and has not got back yet. */
struct client {
    size_t begin, end;
    int closing;
    char buffer[BUFFER];
};

static struct pollfd fds[MAX_CLIENTS + 1];
static struct client clients[MAX_CLIENTS + 1];
static volatile sig_atomic_t stop;
static unsigned long long echoed;

static void on_term(int signal) {
    (void)signal;
    stop = 1;
}

static void drop(int i) {
    close(fds[i].fd);
    fds[i].fd = -1;
}

static void take(int listener) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        CHECK(errno == EAGAIN || errno == EINTR || errno == ECONNABORTED);
        return;
    }
    for (int i = 1; i <= MAX_CLIENTS; i++) {
        if (fds[i].fd >= 0) continue;
        fds[i].fd = fd;
        clients[i].begin = clients[i].end = 0;
        clients[i].closing = 0;
        return;
    }
    close(fd);
}

/* Reads when there is room, writes when there is something; a client that has said all gets the rest and is closed. */
static void serve(int i) {
    struct client *c = &clients[i];
    if (fds[i].revents & (POLLERR | POLLNVAL)) return drop(i);
    if (c->end == 0 && !c->closing && (fds[i].revents & (POLLIN | POLLHUP))) {
        ssize_t n = recv(fds[i].fd, c->buffer, sizeof c->buffer, 0);
        if (n < 0 && errno != EAGAIN && errno != EINTR) return drop(i);
        if (n == 0) c->closing = 1;
        if (n > 0) c->end = n;
    }
    if (c->begin < c->end) {
        ssize_t n = send(fds[i].fd, c->buffer + c->begin, c->end - c->begin, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR) return drop(i);
        if (n > 0) {
            c->begin += n;
            echoed += n;
        }
        if (c->begin == c->end) c->begin = c->end = 0;
    }
    if (c->closing && c->end == 0) drop(i);
}

int main(int argc, char **argv) {
    struct sigaction action = {.sa_handler = on_term};
    CHECK(sigaction(SIGTERM, &action, NULL) == 0);
    /* Blocked but while waiting: a signal between the test of `stop` and the wait would be slept over. */
    sigset_t term, none;
    sigemptyset(&none);
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    CHECK(sigprocmask(SIG_BLOCK, &term, NULL) == 0);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
    CHECK(listener >= 0 && setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(number(argc, argv, 1, 0))};
    socklen_t length = sizeof address;
    CHECK(bind(listener, (struct sockaddr *)&address, sizeof address) == 0 && listen(listener, MAX_CLIENTS) == 0);
    CHECK(getsockname(listener, (struct sockaddr *)&address, &length) == 0);
    say("listening %d", ntohs(address.sin_port));

    for (int i = 0; i <= MAX_CLIENTS; i++) fds[i].fd = -1;
    fds[0] = (struct pollfd){.fd = listener, .events = POLLIN};
    while (!stop) {
        for (int i = 1; i <= MAX_CLIENTS; i++) fds[i].events = clients[i].end > 0 ? POLLOUT : POLLIN;
        if (ppoll(fds, MAX_CLIENTS + 1, NULL, &none) < 0) {
            CHECK(errno == EINTR);
            continue;
        }
        for (int i = 1; i <= MAX_CLIENTS; i++) {
            if (fds[i].fd >= 0 && fds[i].revents != 0) serve(i);
        }
        if (fds[0].revents & POLLIN) take(listener);
    }
    say("echoed %llu", echoed);
    return 0;
}
