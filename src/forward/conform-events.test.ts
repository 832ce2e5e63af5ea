/** What a program hears of by descriptors, what it passes on, and what it locks, carried out for real by a deputy. */
import assert from "node:assert/strict";
import { appendFileSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { after, describe, test } from "node:test";
import {
  AF,
  CLOCK,
  CMSGHDR,
  EPOLL,
  EPOLL_CTL,
  EPOLL_EVENT,
  ERRNO,
  F,
  FLOCK,
  INOTIFY_EVENT,
  IOVEC,
  ITIMERSPEC,
  LOCK,
  MFD,
  MSG,
  MSGHDR,
  NR,
  O,
  SOCK,
  SOL,
  SO,
  SPLICE,
  UCRED,
} from "../abi/mod.ts";
import { type Deputy, noCompiler, Workshop } from "./testdata/deputy.ts";

const error = (name: keyof typeof ERRNO): bigint => BigInt(-ERRNO[name]);
const IN_CREATE = 0x100;
const IN_MODIFY = 0x2;
const IN_MOVED = 0xc0;
const IN_IGNORED = 0x8000;
const SCM_CREDENTIALS = 2;

describe("events, messages and locks through a deputy", { skip: noCompiler }, () => {
  const shop = noCompiler ? null : new Workshop();
  after(() => shop?.close());
  const fresh = (): Deputy => (shop as Workshop).deputy();
  const path = (name: string): string => (shop as Workshop).path(name);
  const u64 = (...values: bigint[]): Buffer => {
    const b = Buffer.alloc(8 * values.length);
    values.forEach((v, i) => {
      b.writeBigUInt64LE(v, 8 * i);
    });
    return b;
  };
  const pipe = async (d: Deputy, flags = 0): Promise<[number, number]> => {
    const at = d.mem.map(8);
    await d.ok(NR.pipe2, at, flags);
    const both = d.mem.read(at, 8);
    return [both.readInt32LE(0), both.readInt32LE(4)];
  };

  test("inotify: what happens in a folder, with names of every length, read in pieces that fit", async () => {
    const d = fresh();
    mkdirSync(path("watched"));
    const fd = await d.ok(NR.inotify_init1, O.NONBLOCK);
    const into = d.mem.map(4096);
    assert.equal((await d.call(NR.read, fd, into, 4096)).result, error("EAGAIN"));
    const wd = await d.ok(NR.inotify_add_watch, fd, d.mem.string("watched"), IN_CREATE | IN_MODIFY | IN_MOVED);
    assert.equal((await d.call(NR.inotify_add_watch, fd, d.mem.string("watched"), 0)).result, error("EINVAL"));
    assert.equal((await d.call(NR.inotify_add_watch, fd, 0, IN_CREATE)).result, error("EFAULT"));
    assert.equal((await d.call(NR.inotify_add_watch, fd, d.mem.string("nowhere"), IN_CREATE)).result, error("ENOENT"));
    const long = "n".repeat(200);
    writeFileSync(path("watched/a"), "");
    renameSync(path("watched/a"), path(`watched/${long}`));
    appendFileSync(path(`watched/${long}`), "more");
    const left = d.mem.map(4);
    await d.ok(NR.ioctl, fd, 0x541b, left);
    assert.ok(d.mem.read(left, 4).readInt32LE(0) > 400, "FIONREAD");
    assert.equal((await d.call(NR.read, fd, into, 8)).result, error("EINVAL"), "no event fits");
    const events: [number, string][] = [];
    const cookies: number[] = [];
    for (let n = await d.ok(NR.read, fd, into, 4096); n > 0; ) {
      const bytes = d.mem.read(into, n);
      for (let at = 0; at < n; ) {
        assert.equal(bytes.readInt32LE(at), wd);
        const length = bytes.readUInt32LE(at + INOTIFY_EVENT.at.len);
        const name = bytes.subarray(at + INOTIFY_EVENT.size, at + INOTIFY_EVENT.size + length);
        events.push([bytes.readUInt32LE(at + INOTIFY_EVENT.at.mask), name.toString().replace(/\0+$/, "")]);
        cookies.push(bytes.readUInt32LE(at + INOTIFY_EVENT.at.cookie));
        at += INOTIFY_EVENT.size + length;
      }
      const more = (await d.call(NR.read, fd, into, 4096)).result;
      n = more > 0n ? Number(more) : 0;
    }
    assert.deepEqual(events, [
      [IN_CREATE, "a"],
      [0x40, "a"],
      [0x80, long],
      [IN_MODIFY, long],
    ]);
    assert.equal(cookies[1], cookies[2]);
    assert.equal(await d.ok(NR.inotify_rm_watch, fd, wd), 0);
    assert.equal((await d.call(NR.inotify_rm_watch, fd, wd)).result, error("EINVAL"));
    await d.ok(NR.read, fd, into, 4096);
    assert.equal(d.mem.read(into, 8).readUInt32LE(4), IN_IGNORED);
    assert.equal((await d.call(NR.inotify_add_watch, 900, d.mem.string("watched"), IN_CREATE)).result, error("EBADF"));
    rmSync(path("watched"), { recursive: true });
  });

  test("eventfd: counts, its flags, and what does not fit", async () => {
    const d = fresh();
    const plain = await d.ok(NR.eventfd, 3);
    const into = d.mem.map(8);
    assert.equal(await d.ok(NR.read, plain, into, 8), 8);
    assert.equal(d.mem.read(into, 8).readBigUInt64LE(0), 3n);
    const counted = await d.ok(NR.eventfd2, 2, O.NONBLOCK | 1);
    for (const left of [1n, 1n]) {
      await d.ok(NR.read, counted, into, 100);
      assert.equal(d.mem.read(into, 8).readBigUInt64LE(0), left, "EFD_SEMAPHORE");
    }
    assert.equal((await d.call(NR.read, counted, into, 8)).result, error("EAGAIN"));
    assert.equal((await d.call(NR.read, counted, into, 7)).result, error("EINVAL"));
    assert.equal((await d.call(NR.write, counted, d.mem.map(u64(0xffff_ffff_ffff_ffffn)), 8)).result, error("EINVAL"));
    await d.ok(NR.write, counted, d.mem.map(u64(0xffff_ffff_ffff_fffen)), 8);
    assert.equal((await d.call(NR.write, counted, d.mem.map(u64(1n)), 8)).result, error("EAGAIN"));
    assert.equal((await d.call(NR.eventfd2, 0, 0x40)).result, error("EINVAL"));
  });

  test("timerfd: once, over and over, what is left, and an unreadable value", async () => {
    const d = fresh();
    const fd = await d.ok(NR.timerfd_create, CLOCK.MONOTONIC, O.NONBLOCK);
    const [into, old] = [d.mem.map(8), d.mem.map(ITIMERSPEC.size)];
    assert.equal((await d.call(NR.read, fd, into, 8)).result, error("EAGAIN"));
    const soon = d.mem.map(u64(0n, 3_000_000n, 0n, 1_000_000n));
    assert.equal(await d.ok(NR.timerfd_settime, fd, 0, soon, old), 0);
    assert.ok(d.mem.read(old, ITIMERSPEC.size).every((b) => b === 0));
    const ready = d.mem.map(Buffer.from(Int32Array.of(fd, 1).buffer));
    assert.equal(await d.ok(NR.poll, ready, 1, -1), 1);
    await d.ok(NR.read, fd, into, 8);
    assert.ok(d.mem.read(into, 8).readBigUInt64LE(0) >= 1n);
    assert.equal(await d.ok(NR.timerfd_settime, fd, 0, d.mem.map(u64(0n, 0n, 3600n, 0n)), old), 0);
    assert.equal(d.mem.read(old, 16).readBigUInt64LE(8), 3_000_000n, "the old interval");
    assert.equal(await d.ok(NR.timerfd_gettime, fd, old), 0);
    assert.ok(d.mem.read(old, ITIMERSPEC.size).readBigUInt64LE(16) >= 3590n);
    assert.equal((await d.call(NR.timerfd_settime, fd, 0, 0, old)).result, error("EFAULT"));
    assert.equal((await d.call(NR.timerfd_settime, fd, 0, d.mem.map(u64(0n, 0n, 0n, 1_000_000_000n)), old)).result, error("EINVAL"));
    assert.equal((await d.call(NR.timerfd_gettime, fd, 0)).result, error("EFAULT"));
    const [r] = await pipe(d);
    assert.equal((await d.call(NR.timerfd_gettime, r, old)).result, error("EINVAL"));
  });

  test("epoll: by edges, once, changed, taken out, and sets in sets", async () => {
    const d = fresh();
    const ep = await d.ok(NR.epoll_create, 1);
    assert.equal((await d.call(NR.epoll_create, 0)).result, error("EINVAL"));
    const [r, w] = await pipe(d, O.NONBLOCK);
    const event = (mask: number, data: bigint): bigint => {
      const b = Buffer.alloc(EPOLL_EVENT.size);
      b.writeUInt32LE(mask >>> 0, 0);
      b.writeBigUInt64LE(data, EPOLL_EVENT.at.data);
      return d.mem.map(b);
    };
    const into = d.mem.map(EPOLL_EVENT.size * 4);
    const wait = (): Promise<number> => d.ok(NR.epoll_wait, ep, into, 4, 0);
    const byte = d.mem.map(1);
    await d.ok(NR.epoll_ctl, ep, EPOLL_CTL.ADD, r, event(EPOLL.IN | EPOLL.ET, 1n));
    assert.equal((await d.call(NR.epoll_ctl, ep, EPOLL_CTL.ADD, r, event(EPOLL.IN, 1n))).result, error("EEXIST"));
    await d.ok(NR.write, w, byte, 1);
    assert.deepEqual([await wait(), await wait()], [1, 0]);
    await d.ok(NR.write, w, byte, 1);
    assert.equal(await wait(), 1, "another edge");
    await d.ok(NR.epoll_ctl, ep, EPOLL_CTL.MOD, r, event(EPOLL.IN | EPOLL.ONESHOT, 2n));
    assert.deepEqual([await wait(), await wait()], [1, 0]);
    assert.equal(d.mem.read(into, 12).readBigUInt64LE(4), 2n);
    await d.ok(NR.epoll_ctl, ep, EPOLL_CTL.DEL, r, 0);
    assert.equal((await d.call(NR.epoll_ctl, ep, EPOLL_CTL.DEL, r, 0)).result, error("ENOENT"));
    assert.equal((await d.call(NR.epoll_ctl, ep, EPOLL_CTL.ADD, r, 0)).result, error("EFAULT"));
    assert.equal((await d.call(NR.epoll_ctl, ep, EPOLL_CTL.ADD, ep, event(EPOLL.IN, 0n))).result, error("EINVAL"));
    const outer = await d.ok(NR.epoll_create1, O.CLOEXEC);
    await d.ok(NR.epoll_ctl, ep, EPOLL_CTL.ADD, r, event(EPOLL.IN, 3n));
    await d.ok(NR.epoll_ctl, outer, EPOLL_CTL.ADD, ep, event(EPOLL.IN, 4n));
    assert.equal(await d.ok(NR.epoll_wait, outer, into, 4, 0), 1);
    assert.equal(d.mem.read(into, 12).readBigUInt64LE(4), 4n);
  });

  test("credentials and descriptors in one message, in room that is too small for both", async () => {
    const d = fresh();
    const at = d.mem.map(8);
    await d.ok(NR.socketpair, AF.UNIX, SOCK.DGRAM, 0, at);
    const [a, b] = [d.mem.read(at, 4).readInt32LE(0), d.mem.read(at + 4n, 4).readInt32LE(0)];
    await d.ok(NR.setsockopt, b, SOL.SOCKET, SO.PASSCRED, d.mem.map(Buffer.from([1, 0, 0, 0])), 4);
    const cmsg = (type: number, data: Buffer): Buffer => {
      const head = Buffer.alloc(CMSGHDR.size);
      head.writeBigUInt64LE(BigInt(CMSGHDR.size + data.length), 0);
      head.writeInt32LE(SOL.SOCKET, CMSGHDR.at.cmsg_level);
      head.writeInt32LE(type, CMSGHDR.at.cmsg_type);
      return Buffer.concat([head, data], (CMSGHDR.size + data.length + 7) & ~7);
    };
    const me = Buffer.alloc(UCRED.size);
    me.writeInt32LE(d.pid, 0);
    me.writeUInt32LE(process.getuid?.() ?? 0, 4);
    me.writeUInt32LE(process.getgid?.() ?? 0, 8);
    const [r, w] = await pipe(d);
    const control = Buffer.concat([cmsg(SCM_CREDENTIALS, me), cmsg(1, Buffer.from(Int32Array.of(r, w).buffer))]);
    const header = (length: number, from: bigint): Buffer => {
      const iov = Buffer.alloc(IOVEC.size);
      iov.writeBigUInt64LE(d.mem.map(4), 0);
      iov.writeBigUInt64LE(4n, 8);
      const h = Buffer.alloc(MSGHDR.size);
      h.writeBigUInt64LE(d.mem.map(iov), MSGHDR.at.msg_iov);
      h.writeBigUInt64LE(1n, MSGHDR.at.msg_iovlen);
      h.writeBigUInt64LE(from, MSGHDR.at.msg_control);
      h.writeBigUInt64LE(BigInt(length), MSGHDR.at.msg_controllen);
      return h;
    };
    const send = d.mem.map(header(control.length, d.mem.map(control)));
    for (const room of [control.length, 36, 16]) {
      assert.equal(await d.ok(NR.sendmsg, a, send, 0), 4);
      const got = d.mem.map(256);
      const head = d.mem.map(header(room, got));
      assert.equal(await d.ok(NR.recvmsg, b, head, 0), 4);
      const after = d.mem.read(head, MSGHDR.size);
      const length = Number(after.readBigUInt64LE(MSGHDR.at.msg_controllen));
      const cut = (after.readInt32LE(MSGHDR.at.msg_flags) & MSG.CTRUNC) !== 0;
      assert.equal(cut, room < control.length, `room for ${room}`);
      assert.ok(length <= room);
      if (room < 32) continue;
      assert.deepEqual(d.mem.read(got + BigInt(CMSGHDR.size), UCRED.size), me);
      if (room !== control.length) continue;
      const fds = d.mem.read(got + 32n + BigInt(CMSGHDR.size), 8);
      assert.equal(await d.ok(NR.write, fds.readInt32LE(4), d.mem.string("x"), 1), 1);
      assert.equal(await d.ok(NR.read, r, d.mem.map(1), 1), 1);
    }
    if (process.getuid?.() !== 0) {
      const other = Buffer.from(me);
      other.writeUInt32LE(0, 4);
      const forged = cmsg(SCM_CREDENTIALS, other);
      assert.equal((await d.call(NR.sendmsg, a, d.mem.map(header(forged.length, d.mem.map(forged))), 0)).result, error("EPERM"));
    }
  });

  test("locks of a process, of an open file, and of a whole one", async () => {
    const [d, other] = [fresh(), fresh()];
    const open = (of: Deputy): Promise<number> => of.ok(NR.open, of.mem.string("locks"), O.RDWR | O.CREAT, 0o644);
    const [a, b] = [await open(d), await open(d)];
    const c = await open(other);
    const lock = (type: number, start: bigint, length: bigint): Buffer => {
      const l = Buffer.alloc(FLOCK.size);
      l.writeInt16LE(type, FLOCK.at.l_type);
      l.writeBigInt64LE(start, FLOCK.at.l_start);
      l.writeBigInt64LE(length, FLOCK.at.l_len);
      return l;
    };
    assert.equal(await d.ok(NR.fcntl, a, F.OFD_SETLK, d.mem.map(lock(F.WRLCK, 0n, 100n))), 0);
    assert.equal((await d.call(NR.fcntl, b, F.OFD_SETLK, d.mem.map(lock(F.RDLCK, 50n, 1n)))).result, error("EAGAIN"), "its own other file");
    const query = other.mem.map(lock(F.RDLCK, 10n, 1n));
    assert.equal(await other.ok(NR.fcntl, c, F.OFD_GETLK, query), 0);
    const found = other.mem.read(query, FLOCK.size);
    assert.deepEqual([found.readInt16LE(0), found.readBigInt64LE(FLOCK.at.l_len), found.readInt32LE(FLOCK.at.l_pid)], [F.WRLCK, 100n, -1]);
    assert.equal(await d.ok(NR.close, a), 0);
    assert.equal(await other.ok(NR.fcntl, c, F.OFD_SETLKW, other.mem.map(lock(F.WRLCK, 0n, 0n))), 0);
    assert.equal(await d.ok(NR.flock, b, LOCK.SH | LOCK.NB), 0);
    assert.equal((await other.call(NR.flock, c, LOCK.EX | LOCK.NB)).result, error("EAGAIN"));
    assert.equal(await d.ok(NR.flock, b, LOCK.UN), 0);
    assert.equal(await other.ok(NR.flock, c, LOCK.EX), 0);
    assert.equal((await d.call(NR.flock, b, 0)).result, error("EINVAL"));
    assert.equal((await d.call(NR.flock, 901, LOCK.SH)).result, error("EBADF"));
  });

  test("pipes joined, doubled and filled from memory files, whose seals hold", async () => {
    const d = fresh();
    const memory = await d.ok(NR.memfd_create, d.mem.string("a name"), MFD.ALLOW_SEALING);
    assert.equal((await d.call(NR.memfd_create, 0, 0)).result, error("EFAULT"));
    await d.ok(NR.write, memory, d.mem.string("0123456789"), 10);
    const [[r1, w1], [r2, w2]] = [await pipe(d), await pipe(d)];
    const offset = d.mem.map(u64(2n));
    assert.equal(await d.ok(NR.splice, memory, offset, w1, 0, 5, 0), 5);
    assert.equal(d.mem.read(offset, 8).readBigUInt64LE(0), 7n);
    assert.equal(await d.ok(NR.tee, r1, w2, 100, SPLICE.NONBLOCK), 5);
    const into = d.mem.map(16);
    assert.equal(await d.ok(NR.read, r2, into, 16), 5);
    assert.equal(d.mem.read(into, 5).toString(), "23456");
    assert.equal(await d.ok(NR.splice, r1, 0, w2, 0, 3, SPLICE.MOVE), 3);
    assert.equal(await d.ok(NR.read, r2, into, 16), 3);
    assert.equal((await d.call(NR.tee, r2, w1, 10, SPLICE.NONBLOCK)).result, error("EAGAIN"));
    assert.equal((await d.call(NR.splice, r1, offset, w2, 0, 1, 0)).result, error("ESPIPE"));
    assert.equal((await d.call(NR.splice, memory, 8, w1, 0, 1, 0)).result, error("EFAULT"));
    assert.equal(await d.ok(NR.sendfile, w1, memory, 0, 4), 0, "at its end");
    await d.ok(NR.lseek, memory, 4, 0);
    assert.equal(await d.ok(NR.sendfile, w1, memory, 0, 4), 4);
    // Pages in pipes would keep it from being sealed.
    for (const fd of [r1, w1, r2, w2]) await d.ok(NR.close, fd);
    assert.equal(await d.ok(NR.fcntl, memory, 1033, 0x4 | 0x8), 0, "F_ADD_SEALS: no growing, no writing");
    assert.equal((await d.call(NR.write, memory, into, 1)).result, error("EPERM"));
    assert.equal((await d.call(NR.ftruncate, memory, 100)).result, error("EPERM"));
    assert.equal(await d.ok(NR.fcntl, memory, 1034, 0), 0xc);
  });
});
