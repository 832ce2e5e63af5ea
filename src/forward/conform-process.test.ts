/** Time, terminals, limits, queues and the rest, carried out for real by a deputy. */
import assert from "node:assert/strict";
import { hostname, release } from "node:os";
import { after, describe, test } from "node:test";
import {
  CAP_HEADER,
  CLOCK,
  ERRNO,
  IPC,
  ITIMER,
  ITIMERSPEC,
  ITIMERVAL,
  MQ_ATTR,
  MSGQ,
  NR,
  O,
  PR,
  RLIMIT,
  RLIMIT_BUF,
  RUSAGE_BUF,
  SEM,
  SIGEVENT,
  SIGINFO,
  SYSINFO,
  TERMIOS,
  TIMESPEC,
  TIMER,
  TMS,
  UTSNAME,
  WINSIZE,
} from "../abi/mod.ts";
import { type Deputy, noCompiler, Workshop } from "./testdata/deputy.ts";

const EFAULT = BigInt(-ERRNO.EFAULT);
const EINVAL = BigInt(-ERRNO.EINVAL);
const EINTR = BigInt(-ERRNO.EINTR);

describe("the process through a deputy", { skip: noCompiler }, () => {
  const shop = noCompiler ? null : new Workshop();
  after(() => shop?.close());
  const fresh = (): Deputy => (shop as Workshop).deputy();
  const timespec = (sec: bigint, nsec: bigint): Buffer => {
    const b = Buffer.alloc(TIMESPEC.size);
    b.writeBigInt64LE(sec, 0);
    b.writeBigInt64LE(nsec, 8);
    return b;
  };

  test("names and numbers", async () => {
    const d = fresh();
    const uts = d.mem.map(UTSNAME.size);
    await d.ok(NR.uname, uts);
    const text = (field: keyof typeof UTSNAME.at): string =>
      d.mem
        .read(uts + BigInt(UTSNAME.at[field]), 65)
        .toString("latin1")
        .split("\0")[0] as string;
    assert.equal(text("nodename"), hostname());
    assert.equal(text("release"), release());
    assert.equal(await d.ok(NR.getppid), process.pid);
    assert.equal(await d.ok(NR.getuid), process.getuid?.());
    const ids = [d.mem.map(4), d.mem.map(4), d.mem.map(4)];
    await d.ok(NR.getresuid, ids[0] as bigint, ids[1] as bigint, ids[2] as bigint);
    assert.equal(d.mem.read(ids[2] as bigint, 4).readInt32LE(0), process.getuid?.());
    assert.equal((await d.call(NR.getresuid, ids[0] as bigint, 0, ids[2] as bigint)).result, EFAULT);
    const groups = await d.ok(NR.getgroups, 0, 0);
    assert.equal(await d.ok(NR.getgroups, 1000, d.mem.map(4000)), groups);
    const info = d.mem.map(SYSINFO.size);
    await d.ok(NR.sysinfo, info);
    assert.ok(d.mem.read(info, SYSINFO.size).readBigUInt64LE(SYSINFO.at.totalram) > 0n);
    const cpus = d.mem.map(1024);
    assert.ok((await d.ok(NR.sched_getaffinity, 0, 1024, cpus)) >= 8);
    assert.ok(d.mem.read(cpus, 8).readBigUInt64LE(0) > 0n);
    assert.equal(await d.ok(NR.sched_setaffinity, 0, 128, cpus), 0);
  });

  test("sleeping, and what is left of it", async () => {
    const d = fresh();
    const rest = d.mem.map(TIMESPEC.size);
    assert.equal(await d.ok(NR.nanosleep, d.mem.map(timespec(0n, 1000n)), 0), 0);
    assert.equal((await d.call(NR.nanosleep, d.mem.map(timespec(0n, 2_000_000_000n)), rest)).result, EINVAL);
    assert.equal((await d.call(NR.nanosleep, 0, rest)).result, EFAULT);
    const timer = Buffer.alloc(ITIMERVAL.size);
    timer.writeBigInt64LE(30_000n, 24);
    const old = d.mem.map(ITIMERVAL.size);
    await d.ok(NR.setitimer, ITIMER.REAL, d.mem.map(timer), old);
    const { result, first } = await d.call(NR.nanosleep, d.mem.map(timespec(100n, 0n)), rest);
    assert.equal(result, EINTR);
    assert.ok(first.kind === "forward" && first.timeout?.kind === "timespec" && first.timeout.relative && first.blocking);
    assert.equal(d.mem.read(rest, 8).readBigInt64LE(0), 99n);
    await d.ok(NR.setitimer, ITIMER.REAL, d.mem.map(timer), 0);
    d.mem.write(rest, Buffer.alloc(16));
    assert.equal((await d.call(NR.clock_nanosleep, CLOCK.MONOTONIC, 0, d.mem.map(timespec(50n, 0n)), rest)).result, EINTR);
    assert.equal(d.mem.read(rest, 8).readBigInt64LE(0), 49n);
    const past = await d.call(NR.clock_nanosleep, CLOCK.REALTIME, TIMER.ABSTIME, d.mem.map(timespec(1n, 0n)), rest);
    assert.ok(past.result === 0n && past.first.kind === "forward" && past.first.timeout?.relative === false);
    await d.ok(NR.setitimer, ITIMER.REAL, d.mem.map(timer), 0);
    const left = d.mem.map(timespec(20n, 0n));
    assert.equal((await d.call(NR.ppoll, 0, 0, left, 0, 8)).result, EINTR);
    assert.equal(d.mem.read(left, 8).readBigInt64LE(0), 19n, "ppoll tells the rest when it is interrupted");
  });

  test("timers and clocks", async () => {
    const d = fresh();
    const event = Buffer.alloc(SIGEVENT.size);
    event.writeInt32LE(1, SIGEVENT.at.sigev_notify);
    const id = d.mem.map(4);
    await d.ok(NR.timer_create, CLOCK.MONOTONIC, d.mem.map(event), id);
    const timer = d.mem.read(id, 4).readInt32LE(0);
    const spec = Buffer.alloc(ITIMERSPEC.size);
    spec.writeBigInt64LE(60n, 16);
    const at = d.mem.map(spec);
    await d.ok(NR.timer_settime, timer, 0, at, 0);
    const now = d.mem.map(ITIMERSPEC.size);
    await d.ok(NR.timer_gettime, timer, now);
    assert.equal(d.mem.read(now, 32).readBigInt64LE(16), 59n);
    await d.ok(NR.timer_delete, timer);
    await assert.rejects(d.call(NR.timer_create, CLOCK.PROCESS_CPUTIME_ID, 0, id), /cpu_clock/);
    const fd = await d.ok(NR.timerfd_create, CLOCK.MONOTONIC, 0);
    spec.writeBigInt64LE(0n, 16);
    spec.writeBigInt64LE(1000n, 24);
    await d.ok(NR.timerfd_settime, fd, 0, d.mem.map(spec), now);
    assert.equal(await d.ok(NR.read, fd, now, 8), 8);
    assert.equal(d.mem.read(now, 8).readBigUInt64LE(0), 1n);
    const res = d.mem.map(16);
    // A clock of another process's CPU time: asked at home.
    await d.ok(NR.clock_gettime, (~process.pid << 3) | 2, res);
    assert.equal((await d.call(NR.clock_gettime, 99, res)).result, EINVAL);
  });

  test("a terminal", async () => {
    const d = fresh();
    const master = await d.ok(NR.open, d.mem.string("/dev/ptmx"), O.RDWR | O.NOCTTY, 0);
    const [unlock, number] = [d.mem.map(4), d.mem.map(4)];
    await d.ok(NR.ioctl, master, 0x40045431, unlock);
    await d.ok(NR.ioctl, master, 0x80045430, number);
    const slave = await d.ok(NR.open, d.mem.string(`/dev/pts/${d.mem.read(number, 4).readInt32LE(0)}`), O.RDWR | O.NOCTTY, 0);
    const size = Buffer.alloc(WINSIZE.size);
    size.writeUInt16LE(33, 0);
    size.writeUInt16LE(101, 2);
    await d.ok(NR.ioctl, master, 0x5414, d.mem.map(size));
    const told = d.mem.map(WINSIZE.size);
    await d.ok(NR.ioctl, slave, 0x5413, told);
    assert.ok(d.mem.read(told, 8).equals(size));
    const termios = d.mem.map(TERMIOS.size);
    await d.ok(NR.ioctl, slave, 0x5401, termios);
    const t = d.mem.read(termios, TERMIOS.size);
    t.writeUInt32LE(t.readUInt32LE(12) & ~0o12, 12); // no ICANON, no ECHO
    d.mem.write(termios, t);
    await d.ok(NR.ioctl, slave, 0x5403, termios);
    await d.ok(NR.write, master, d.mem.string("k"), 1);
    const key = d.mem.map(10);
    assert.equal(await d.ok(NR.read, slave, key, 10), 1);
    assert.equal((await d.call(NR.ioctl, slave, 0x5401, 0)).result, EFAULT);
    await assert.rejects(d.call(NR.ioctl, slave, 0x541c, key), /ioctl: 0x541c/, "TIOCLINUX is not in the list");
  });

  test("usage, limits, capabilities, prctl", async () => {
    const d = fresh();
    const ctx = d.ctx as { cpuAway?: (who: string) => { user: bigint; system: bigint } };
    const usage = d.mem.map(RUSAGE_BUF.size);
    ctx.cpuAway = () => ({ user: 5_600_000_000n, system: 1_000_000_000n });
    await d.ok(NR.getrusage, 0, usage);
    const u = d.mem.read(usage, RUSAGE_BUF.size);
    assert.ok(u.readBigInt64LE(0) === 5n && u.readBigInt64LE(8) >= 600_000n);
    assert.ok(u.readBigInt64LE(16) === 1n);
    await d.ok(NR.getrusage, -1, usage);
    assert.equal(d.mem.read(usage, 8).readBigInt64LE(0), 0n, "children's time is home's own");
    const times = d.mem.map(TMS.size);
    await d.ok(NR.times, times);
    assert.ok(d.mem.read(times, 8).readBigInt64LE(0) >= 560n);
    assert.ok((await d.ok(NR.times, 0)) > 0);
    for (const clock of [CLOCK.PROCESS_CPUTIME_ID, CLOCK.THREAD_CPUTIME_ID, (~d.pid << 3) | 2]) {
      await d.ok(NR.clock_gettime, clock, usage);
      assert.equal(d.mem.read(usage, 8).readBigInt64LE(0), 6n);
    }
    await d.ok(NR.clock_gettime, (~0 << 3) | 1, usage);
    assert.equal(d.mem.read(usage, 8).readBigInt64LE(0), 5n, "user time only");

    const limit = d.mem.map(RLIMIT_BUF.size);
    await d.ok(NR.getrlimit, RLIMIT.NOFILE, limit);
    await d.ok(NR.prlimit64, 0, RLIMIT.NOFILE, limit, limit);
    const stack = await d.call(NR.prlimit64, 0, RLIMIT.STACK, 0, limit);
    assert.equal(stack.result, 0n, "asking is home's");
    await assert.rejects(d.call(NR.prlimit64, 0, RLIMIT.STACK, limit, 0), /"engine","name":"prlimit64"/);
    await assert.rejects(d.call(NR.setrlimit, RLIMIT.AS, limit), /"engine"/);

    const head = Buffer.alloc(CAP_HEADER.size);
    const at = d.mem.map(head);
    assert.equal((await d.call(NR.capget, at, 0)).result, 0n, "an unknown version without data is a question");
    assert.equal(d.mem.read(at, 4).readUInt32LE(0), 0x20080522);
    const data = d.mem.map(24);
    assert.equal((await d.call(NR.capget, at, data)).result, 0n);
    assert.equal((await d.call(NR.capset, at, data)).result, 0n);

    await d.ok(NR.prctl, PR.SET_NAME, d.mem.string("a-very-long-name-indeed"));
    const name = d.mem.map(16);
    await d.ok(NR.prctl, PR.GET_NAME, name);
    assert.equal(d.mem.read(name, 16).toString("latin1"), "a-very-long-nam\0");
    await d.ok(NR.prctl, PR.GET_PDEATHSIG, name);
    assert.equal(await d.ok(NR.prctl, PR.GET_DUMPABLE), 1);
    await assert.rejects(d.call(NR.prctl, PR.SET_MM, 0, 0, 0, 0), /prctl: 35/);
  });

  test("waiting for children that are not there, and for one that is", async () => {
    const d = fresh();
    const [status, info] = [d.mem.map(4), d.mem.map(Buffer.alloc(SIGINFO.size, 0x55))];
    assert.equal((await d.call(NR.wait4, -1, status, 0, 0)).result, BigInt(-ERRNO.ECHILD));
    assert.equal((await d.call(NR.waitid, 0, 0, info, 4, 0)).result, BigInt(-ERRNO.ECHILD));
    const zeroed = d.mem.read(info, SIGINFO.size);
    assert.ok(zeroed.readInt32LE(SIGINFO.at.si_signo) === 0 && zeroed.readInt32LE(SIGINFO.at.si_pid) === 0, "as the kernel does on ECHILD");
    assert.equal(zeroed.readInt32LE(100), 0x55555555, "and no more than that");

    const [first, usage] = [await d.fork(), d.mem.map(RUSAGE_BUF.size)];
    assert.equal(await d.ok(NR.waitid, 0, 0, info, 4 | 0x01000000, usage), 0, "WNOWAIT leaves it");
    const seen = d.mem.read(info, SIGINFO.size);
    assert.equal(seen.readInt32LE(SIGINFO.at.si_pid), first);
    assert.equal(seen.readInt32LE(SIGINFO.at.si_status), 7);
    assert.equal(await d.ok(NR.wait4, -1, status, 0, usage), first);
    assert.equal(d.mem.read(status, 4).readInt32LE(0), 7 << 8);
    const second = await d.fork();
    assert.equal(await d.ok(NR.wait4, second, 0, 0, 0), second);
  });

  test("System V queues and semaphores", async () => {
    const d = fresh();
    const queue = await d.ok(NR.msgget, IPC.CREAT * 0, 0o600 | IPC.CREAT);
    const message = Buffer.alloc(8 + 5);
    message.writeBigInt64LE(7n, 0);
    message.write("hello", 8);
    assert.equal(await d.ok(NR.msgsnd, queue, d.mem.map(message), 5, 0), 0);
    const into = d.mem.map(64);
    assert.equal((await d.call(NR.msgrcv, queue, into, 2, 0, IPC.NOWAIT)).result, BigInt(-ERRNO.E2BIG));
    assert.equal(await d.ok(NR.msgrcv, queue, into, 50, 7, 0), 5);
    assert.ok(d.mem.read(into, 13).equals(message));
    assert.equal((await d.call(NR.msgrcv, queue, into, 50, 0, IPC.NOWAIT)).result, BigInt(-ERRNO.ENOMSG));
    assert.equal((await d.call(NR.msgsnd, queue, into, -1, 0)).result, EINVAL);
    assert.equal((await d.call(NR.msgsnd, queue, 0, 5, 0)).result, EFAULT);
    const stat = d.mem.map(200);
    await d.ok(NR.msgctl, queue, IPC.STAT, stat);
    await d.ok(NR.msgctl, 0, MSGQ.INFO, stat);
    await d.ok(NR.msgctl, queue, IPC.RMID, 0);

    const set = await d.ok(NR.semget, 0, 3, 0o600);
    const values = Buffer.from([1, 0, 2, 0, 3, 0]);
    assert.equal(await d.ok(NR.semctl, set, 0, SEM.SETALL, d.mem.map(values)), 0);
    const got = d.mem.map(6);
    await d.ok(NR.semctl, set, 0, SEM.GETALL, got);
    assert.ok(d.mem.read(got, 6).equals(values));
    assert.equal(await d.ok(NR.semctl, set, 1, SEM.GETVAL, 0), 2);
    const take = Buffer.from([2, 0, 0xfd, 0xff, 0, 0]); // number 2, minus 3
    assert.equal(await d.ok(NR.semop, set, d.mem.map(take), 1), 0);
    assert.equal((await d.call(NR.semtimedop, set, d.mem.map(take), 1, d.mem.map(timespec(0n, 1000n)))).result, BigInt(-ERRNO.EAGAIN));
    assert.equal((await d.call(NR.semop, set, d.mem.map(take), 0xffffff)).result, BigInt(-ERRNO.E2BIG));
    await d.ok(NR.semctl, set, 0, IPC.RMID, 0);
  });

  test("POSIX message queues", async (t) => {
    const d = fresh();
    const attr = Buffer.alloc(MQ_ATTR.size);
    attr.writeBigInt64LE(4n, MQ_ATTR.at.mq_maxmsg);
    attr.writeBigInt64LE(32n, MQ_ATTR.at.mq_msgsize);
    const name = d.mem.string(`tesela-${d.pid}`);
    const opened = await d.call(NR.mq_open, name, O.RDWR | O.CREAT, 0o600, d.mem.map(attr));
    if (opened.result === BigInt(-ERRNO.ENOSYS)) return t.skip("this kernel has no POSIX queues");
    const q = Number(opened.result);
    await d.ok(NR.mq_unlink, name);
    assert.equal(await d.ok(NR.mq_timedsend, q, d.mem.string("text"), 4, 9, 0), 0);
    assert.equal((await d.call(NR.mq_timedsend, q, d.mem.map(1000), 1000, 9, 0)).result, BigInt(-ERRNO.EMSGSIZE));
    const [into, priority] = [d.mem.map(32), d.mem.map(4)];
    assert.equal(await d.ok(NR.mq_timedreceive, q, into, 32, priority, 0), 4);
    assert.equal(d.mem.read(into, 4).toString(), "text");
    assert.equal(d.mem.read(priority, 4).readUInt32LE(0), 9);
    const late = await d.call(NR.mq_timedreceive, q, into, 32, priority, d.mem.map(timespec(1n, 0n)));
    assert.equal(late.result, BigInt(-ERRNO.ETIMEDOUT));
    return undefined;
  });
});
