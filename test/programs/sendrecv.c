/*
 * sendrecv ROUNDS [PAUSE_MS]: sockets and what travels beside the bytes, with a forked partner and with itself: SCM_RIGHTS descriptors
 * (pipes, memfds), SCM_CREDENTIALS, datagrams that are peeked at and cut, many messages in one call, options, half-closed streams,
 * addresses. Prints `round N ok`; what is wrong ends it with status 1.
 */
#include "common.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#define BATCH 4

union control {
    char bytes[256];
    struct cmsghdr align;
};

/* One byte of payload and `count` descriptors. */
static void send_fds(int socket, char tag, const int *fds, int count) {
    union control control = {{0}};
    struct iovec iov = {&tag, 1};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes};
    message.msg_controllen = CMSG_SPACE(count * sizeof(int));
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(c), fds, count * sizeof(int));
    CHECK(sendmsg(socket, &message, MSG_NOSIGNAL) == 1);
}

/* Puts the descriptors that came into `fds`; gives the payload, or -1 at the end. */
static int receive_fds(int socket, int *fds, int count) {
    union control control;
    char tag;
    struct iovec iov = {&tag, 1};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    ssize_t n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    CHECK(n >= 0);
    if (n == 0) return -1;
    CHECK((message.msg_flags & MSG_CTRUNC) == 0);
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    CHECK(c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(count * sizeof(int)));
    memcpy(fds, CMSG_DATA(c), count * sizeof(int));
    for (int i = 0; i < count; i++) CHECK(fcntl(fds[i], F_GETFD) == FD_CLOEXEC);
    return tag;
}

/* The partner: takes a pipe and a memfd, copies what the memfd holds into the pipe, changed by the tag, and closes both. */
static _Noreturn void partner(int socket) {
    int fds[2], tag;
    char text[64];
    while ((tag = receive_fds(socket, fds, 2)) >= 0) {
        ssize_t n = pread(fds[1], text, sizeof text, 0);
        CHECK(n > 0);
        for (ssize_t i = 0; i < n; i++) text[i] ^= tag;
        write_all(fds[0], text, n);
        close(fds[0]), close(fds[1]);
    }
    _exit(0);
}

static void check_rights(int socket, long round) {
    int ends[2], memory = memfd_create("sendrecv", MFD_CLOEXEC);
    char text[64], back[64], tag = 1 + round % 100;
    CHECK(memory >= 0 && pipe2(ends, O_CLOEXEC) == 0);
    int n = snprintf(text, sizeof text, "round %ld", round);
    write_all(memory, text, n);
    send_fds(socket, tag, (int[]){ends[1], memory}, 2);
    close(ends[1]), close(memory);
    CHECK(read_all(ends[0], back, sizeof back) == (size_t)n);
    for (int i = 0; i < n; i++) CHECK(back[i] == (text[i] ^ tag));
    close(ends[0]);
}

/* A descriptor sent to oneself is the same open file: it shares the position. */
static void check_self_rights(void) {
    int pair[2], memory = memfd_create("self", 0), other;
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0 && memory >= 0);
    write_all(memory, "0123456789", 10);
    send_fds(pair[0], 's', &memory, 1);
    CHECK(receive_fds(pair[1], &other, 1) == 's' && other != memory);
    CHECK(lseek(memory, 4, SEEK_SET) == 4 && lseek(other, 0, SEEK_CUR) == 4);
    close(memory), close(other), close(pair[0]), close(pair[1]);
}

static void check_credentials(void) {
    int pair[2], on = 1;
    char byte = 'c';
    union control control;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    CHECK(setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0 && send(pair[0], &byte, 1, 0) == 1);
    struct iovec iov = {&byte, 1};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    CHECK(recvmsg(pair[1], &message, 0) == 1);
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    struct ucred sender, peer;
    socklen_t length = sizeof peer;
    CHECK(c != NULL && c->cmsg_type == SCM_CREDENTIALS);
    memcpy(&sender, CMSG_DATA(c), sizeof sender);
    CHECK(sender.pid == getpid() && sender.uid == getuid() && sender.gid == getgid());
    CHECK(getsockopt(pair[0], SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && peer.uid == getuid());
    close(pair[0]), close(pair[1]);
}

/* UDP to oneself: peek, cut, ask the size, many messages in one call, and who sent it. */
static void check_datagrams(long round) {
    int a = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), b = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, from, own;
    socklen_t length = sizeof to, from_length = sizeof from;
    char out[BATCH][32], in[BATCH][32];
    CHECK(bind(b, (struct sockaddr *)&to, sizeof to) == 0 && getsockname(b, (struct sockaddr *)&to, &length) == 0);
    CHECK(connect(a, (struct sockaddr *)&to, sizeof to) == 0);
    length = sizeof own;
    CHECK(getsockname(a, (struct sockaddr *)&own, &length) == 0);
    struct mmsghdr send_batch[BATCH] = {0}, receive_batch[BATCH] = {0};
    struct iovec send_iov[BATCH], receive_iov[BATCH];
    for (int i = 0; i < BATCH; i++) {
        int n = snprintf(out[i], sizeof out[i], "message %d of %ld", i, round);
        send_iov[i] = (struct iovec){out[i], n};
        receive_iov[i] = (struct iovec){in[i], sizeof in[i]};
        send_batch[i].msg_hdr = (struct msghdr){.msg_iov = &send_iov[i], .msg_iovlen = 1};
        receive_batch[i].msg_hdr = (struct msghdr){.msg_iov = &receive_iov[i], .msg_iovlen = 1};
    }
    CHECK(sendmmsg(a, send_batch, BATCH, 0) == BATCH);
    CHECK(recv(b, in[0], 4, MSG_PEEK | MSG_TRUNC) == (ssize_t)send_iov[0].iov_len && memcmp(in[0], "mess", 4) == 0);
    int waiting;
    CHECK(ioctl(b, FIONREAD, &waiting) == 0 && waiting == (int)send_iov[0].iov_len);
    CHECK(recvmmsg(b, receive_batch, BATCH, MSG_DONTWAIT, NULL) == BATCH);
    for (int i = 0; i < BATCH; i++) {
        CHECK(receive_batch[i].msg_len == send_iov[i].iov_len && memcmp(in[i], out[i], send_iov[i].iov_len) == 0);
    }
    CHECK(recv(b, in[0], 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);
    CHECK(sendto(a, "bye", 3, 0, NULL, 0) == 3);
    CHECK(recvfrom(b, in[0], sizeof in[0], 0, (struct sockaddr *)&from, &from_length) == 3);
    CHECK(from.sin_port == own.sin_port && from.sin_addr.s_addr == own.sin_addr.s_addr);
    close(a), close(b);
}

/* TCP to oneself: non-blocking connect, options, a half-closed stream. */
static void check_stream(void) {
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), a = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, peer;
    socklen_t length = sizeof address;
    int on = 1, value = -1;
    char text[16];
    CHECK(bind(listener, (struct sockaddr *)&address, sizeof address) == 0 && listen(listener, 4) == 0);
    CHECK(getsockname(listener, (struct sockaddr *)&address, &length) == 0);
    CHECK(connect(a, (struct sockaddr *)&address, sizeof address) == 0 || errno == EINPROGRESS);
    struct pollfd fd = {.fd = a, .events = POLLOUT};
    CHECK(poll(&fd, 1, PATIENCE_S * 1000) == 1 && fd.revents == POLLOUT);
    length = sizeof value;
    CHECK(getsockopt(a, SOL_SOCKET, SO_ERROR, &value, &length) == 0 && value == 0);
    length = sizeof peer;
    int b = accept4(listener, (struct sockaddr *)&peer, &length, SOCK_CLOEXEC);
    CHECK(b >= 0 && length == sizeof peer && peer.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
    CHECK(setsockopt(a, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0);
    length = sizeof value;
    CHECK(getsockopt(a, IPPROTO_TCP, TCP_NODELAY, &value, &length) == 0 && value != 0);
    CHECK(recv(a, text, sizeof text, 0) == -1 && errno == EAGAIN);
    CHECK(send(a, "question", 8, MSG_MORE) == 8 && shutdown(a, SHUT_WR) == 0);
    CHECK(read_all(b, text, sizeof text) == 8 && memcmp(text, "question", 8) == 0);
    CHECK(fcntl(a, F_SETFL, fcntl(a, F_GETFL) & ~O_NONBLOCK) == 0);
    write_all(b, "answer", 6);
    close(b);
    CHECK(read_all(a, text, sizeof text) == 6 && memcmp(text, "answer", 6) == 0);
    CHECK(send(a, "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE);
    close(a), close(listener);
}

int main(int argc, char **argv) {
    if (argc < 2) usage("sendrecv ROUNDS [PAUSE_MS]");
    long rounds = number(argc, argv, 1, 0), pause_ms = number(argc, argv, 2, 0);
    int pair[2], status;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    pid_t child = fork_partner();
    if (child == 0) {
        close(pair[0]);
        partner(pair[1]);
    }
    close(pair[1]);
    say("ready");
    for (long round = 1; round <= rounds; round++) {
        check_rights(pair[0], round);
        check_self_rights();
        check_credentials();
        check_datagrams(round);
        check_stream();
        say("round %ld ok", round);
        if (pause_ms > 0) sleep_ms(pause_ms);
    }
    close(pair[0]);
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    say("done");
    return 0;
}
