"""Runs a program on a new pseudo-terminal, for the cluster tests.

    terminal.py ROWS COLUMNS PROGRAM [ARGS...]

stdin is typed, stdout is what the terminal shows. Descriptor 3 is a stream both ways: out comes the program's PID and a
newline, in go lines "ROWS COLUMNS" for a new window size. Ends with the program's status, 128+n for a signal.
"""

import fcntl
import os
import select
import signal
import struct
import sys
import termios

CONTROL = 3
POLL_MS = 20
CHUNK = 65536


def set_size(fd, rows, columns):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def start(slave, argv):
    """The program leads a session of its own, with the terminal as the controlling one."""
    pid = os.fork()
    if pid != 0:
        return pid
    try:
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        for fd in (0, 1, 2):
            os.dup2(slave, fd)
        os.closerange(3, 256)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.execvp(argv[0], argv)
    except OSError as e:
        os.write(2, ("%s: %s\n" % (argv[0], e.strerror)).encode())
    os._exit(127)


def write_all(fd, data):
    while data:
        data = data[os.write(fd, data):]


def read(fd):
    """None at the end; a terminal whose programs have all gone says EIO."""
    try:
        return os.read(fd, CHUNK) or None
    except OSError:
        return None


def drain(master):
    """What the program wrote last is still in the terminal when it is gone."""
    while select.select([master], [], [], 0)[0]:
        data = read(master)
        if data is None:
            return
        write_all(1, data)


def main():
    rows, columns, argv = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    master, slave = os.openpty()
    set_size(master, rows, columns)
    pid = start(slave, argv)
    # Kept open, so that the terminal stays when all programs on it close it for a moment.
    write_all(CONTROL, b"%d\n" % pid)
    poll = select.poll()
    for fd in (0, CONTROL, master):
        poll.register(fd, select.POLLIN)
    commands = b""
    while True:
        # A new size holds for what is typed behind it.
        for fd, _ in sorted(poll.poll(POLL_MS), key=lambda event: event[0] != CONTROL):
            data = read(fd)
            if data is None:
                poll.unregister(fd)
            elif fd == 0:
                write_all(master, data)
            elif fd == master:
                write_all(1, data)
            else:
                commands += data
                while b"\n" in commands:
                    line, commands = commands.split(b"\n", 1)
                    set_size(master, *map(int, line.split()))
        done, status = os.waitpid(pid, os.WNOHANG)
        if done == pid:
            drain(master)
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


sys.exit(main())
