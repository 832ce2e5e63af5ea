/* A kernel AIO context, whose ring is mapped, with a poll pending that nobody answers. */
#include "common.h"
#include <linux/aio_abi.h>
#include <sys/syscall.h>

int main(void) {
    aio_context_t context = 0;
    int fds[2];
    if (syscall(SYS_io_setup, 4, &context) != 0) unavailable("io_setup");
    CHECK(pipe(fds) == 0);
    /* A poll is asynchronous everywhere; a read of a pipe would be waited for. */
    struct iocb request = {.aio_fildes = fds[0], .aio_lio_opcode = IOCB_CMD_POLL, .aio_buf = 1 /* POLLIN */};
    struct iocb *list[] = {&request};
    if (syscall(SYS_io_submit, context, 1, list) != 1) unavailable("IOCB_CMD_POLL");
    say("ready");
    dwell_until_killed();
}
