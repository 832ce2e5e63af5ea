/** Sockets, messages and waiting, carried out for real by a deputy. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { connect, createServer, type Socket } from "node:net";
import { after, describe, test } from "node:test";
import {
  AF,
  CMSGHDR,
  EPOLL,
  EPOLL_CTL,
  EPOLL_EVENT,
  ERRNO,
  IFCONF,
  IOCTL_SPECIAL,
  IOVEC,
  MMSGHDR,
  MSG,
  MSGHDR,
  NR,
  O,
  POLL,
  POLLFD,
  SCM,
  SO,
  SOCK,
  SOCKADDR_IN,
  SOCKADDR_UN,
  SOL,
  TIMESPEC,
  TIMEVAL,
} from "../abi/mod.ts";
import { type Deputy, noCompiler, Workshop } from "./testdata/deputy.ts";

const EFAULT = BigInt(-ERRNO.EFAULT);
const EINVAL = BigInt(-ERRNO.EINVAL);

describe("sockets through a deputy", { skip: noCompiler }, () => {
  const shop = noCompiler ? null : new Workshop();
  after(() => shop?.close());
  const fresh = (): Deputy => (shop as Workshop).deputy();

  async function pair(d: Deputy, type: number = SOCK.STREAM): Promise<[number, number]> {
    const fds = d.mem.map(8);
    await d.ok(NR.socketpair, AF.UNIX, type, 0, fds);
    const raw = d.mem.read(fds, 8);
    return [raw.readInt32LE(0), raw.readInt32LE(4)];
  }

  function iovecs(d: Deputy, list: readonly (readonly [bigint, number])[]): bigint {
    const raw = Buffer.alloc(list.length * IOVEC.size);
    for (const [i, [base, length]] of list.entries()) {
      raw.writeBigUInt64LE(base, i * IOVEC.size);
      raw.writeBigUInt64LE(BigInt(length), i * IOVEC.size + 8);
    }
    return d.mem.map(raw);
  }

  interface Head {
    name?: bigint;
    nameLength?: number;
    iov: bigint;
    count: number;
    control?: bigint;
    controlLength?: number;
  }
  function msghdr(h: Head): Buffer {
    const raw = Buffer.alloc(MSGHDR.size);
    raw.writeBigUInt64LE(h.name ?? 0n, MSGHDR.at.msg_name);
    raw.writeUInt32LE(h.nameLength ?? 0, MSGHDR.at.msg_namelen);
    raw.writeBigUInt64LE(h.iov, MSGHDR.at.msg_iov);
    raw.writeBigUInt64LE(BigInt(h.count), MSGHDR.at.msg_iovlen);
    raw.writeBigUInt64LE(h.control ?? 0n, MSGHDR.at.msg_control);
    raw.writeBigUInt64LE(BigInt(h.controlLength ?? 0), MSGHDR.at.msg_controllen);
    return raw;
  }

  function rights(fds: readonly number[]): Buffer {
    const raw = Buffer.alloc((CMSGHDR.size + fds.length * 4 + 7) & ~7);
    raw.writeBigUInt64LE(BigInt(CMSGHDR.size + fds.length * 4), 0);
    raw.writeInt32LE(SOL.SOCKET, CMSGHDR.at.cmsg_level);
    raw.writeInt32LE(SCM.RIGHTS, CMSGHDR.at.cmsg_type);
    for (const [i, fd] of fds.entries()) raw.writeInt32LE(fd, CMSGHDR.size + 4 * i);
    return raw;
  }

  test("messages with descriptors", async () => {
    const d = fresh();
    const [a, b] = await pair(d);
    const pipe = d.mem.map(8);
    await d.ok(NR.pipe, pipe);
    const [r, w] = [d.mem.read(pipe, 4).readInt32LE(0), d.mem.read(pipe + 4n, 4).readInt32LE(0)];
    const data = iovecs(d, [
      [d.mem.string("he"), 2],
      [d.mem.string("llo"), 3],
    ]);
    const control = d.mem.map(rights([w]));
    const send = d.mem.map(msghdr({ iov: data, count: 2, control, controlLength: 24 }));
    assert.equal(await d.ok(NR.sendmsg, a, send, 0), 5);
    const [into, more, got] = [d.mem.map(3), d.mem.map(10), d.mem.map(64)];
    const target = iovecs(d, [
      [into, 3],
      [more, 10],
    ]);
    const head = d.mem.map(msghdr({ iov: target, count: 2, control: got, controlLength: 64 }));
    assert.equal(await d.ok(NR.recvmsg, b, head, MSG.CMSG_CLOEXEC), 5);
    assert.equal(d.mem.read(into, 3).toString() + d.mem.read(more, 2).toString(), "hello");
    const after = d.mem.read(head, MSGHDR.size);
    assert.equal(after.readBigUInt64LE(MSGHDR.at.msg_controllen), 24n);
    assert.equal(after.readBigUInt64LE(MSGHDR.at.msg_iov), target, "the program's own pointers stay");
    assert.equal(after.readInt32LE(MSGHDR.at.msg_flags), MSG.CMSG_CLOEXEC);
    const passed = d.mem.read(got, 24).readInt32LE(CMSGHDR.size);
    assert.notEqual(passed, w);
    assert.equal(await d.ok(NR.write, passed, into, 1), 1);
    assert.equal(await d.ok(NR.read, r, into, 1), 1);
    const own = d.mem.map(msghdr({ iov: data, count: 1, control: d.mem.map(rights([900])), controlLength: 24 }));
    assert.equal((await d.call(NR.sendmsg, a, own, 0)).result, BigInt(-ERRNO.EBADF), "the deputy's own descriptors cannot be passed on");
    assert.equal((await d.call(NR.sendmsg, a, 0, 0)).result, EFAULT);
    const many = d.mem.map(msghdr({ iov: data, count: 2000 }));
    assert.equal((await d.call(NR.sendmsg, a, many, 0)).result, BigInt(-ERRNO.EMSGSIZE));
    assert.equal((await d.call(NR.recvmsg, b, many, 0)).result, BigInt(-ERRNO.EMSGSIZE));
  });

  test("messages keep their bounds, and tell what was cut", async () => {
    const d = fresh();
    const [a, b] = await pair(d, SOCK.DGRAM);
    await d.ok(NR.sendto, a, d.mem.string("0123456789"), 10, 0, 0, 0);
    const into = d.mem.map(4);
    const head = d.mem.map(msghdr({ iov: iovecs(d, [[into, 4]]), count: 1 }));
    assert.equal(await d.ok(NR.recvmsg, b, head, MSG.TRUNC), 10, "the true length");
    assert.equal(d.mem.read(into, 4).toString(), "0123");
    assert.equal(d.mem.read(head, MSGHDR.size).readInt32LE(MSGHDR.at.msg_flags) & MSG.TRUNC, MSG.TRUNC);
    await d.ok(NR.sendto, a, d.mem.string("abcdef"), 6, 0, 0, 0);
    assert.equal(await d.ok(NR.recvfrom, b, into, 4, MSG.TRUNC, 0, 0), 6);
    // Offered far more room than the deputy has.
    await d.ok(NR.sendto, a, d.mem.string("abcdef"), 6, 0, 0, 0);
    const large = d.mem.map(1_000_000);
    assert.equal(await d.ok(NR.recvfrom, b, large, 1_000_000, 0, 0, 0), 6);
    await d.ok(NR.sendto, a, d.mem.string("abcdef"), 6, 0, 0, 0);
    assert.equal(await d.ok(NR.read, b, large, 1_000_000), 6);
    const sized = Buffer.alloc(4);
    sized.writeInt32LE(1_000_000, 0);
    await d.ok(NR.setsockopt, a, SOL.SOCKET, SO.SNDBUFFORCE, d.mem.map(sized), 4).catch(() => 0);
    await assert.rejects(d.call(NR.sendto, a, large, 800_000, 0, 0, 0), /big_message/);
    await assert.rejects(d.call(NR.write, a, large, 800_000), /big_message/);
    await assert.rejects(d.call(NR.sendto, a, large, 10, MSG.ZEROCOPY, 0, 0), /msg_zerocopy/);
    assert.equal((await d.call(NR.sendto, a, large, 0, 0, 0, 0)).result, 0n);
    assert.equal(await d.ok(NR.recvfrom, b, large, 100, 0, 0, 0), 0);
  });

  test("streams larger than the buffer, with MSG_WAITALL", async () => {
    const d = fresh();
    const e = fresh();
    const [a, b] = await pair(d);
    const content = randomBytes(700_000);
    const from = d.mem.map(content);
    // A second task of the same program: its descriptor table is another's, so the bytes pass through a socket of the file system.
    const address = Buffer.alloc(SOCKADDR_UN.size);
    address.writeUInt16LE(AF.UNIX, 0);
    address.write("stream.socket", 2);
    const listener = await d.ok(NR.socket, AF.UNIX, SOCK.STREAM, 0);
    await d.ok(NR.bind, listener, d.mem.map(address), address.length);
    await d.ok(NR.listen, listener, 5);
    const client = await e.ok(NR.socket, AF.UNIX, SOCK.STREAM, 0);
    await e.ok(NR.connect, client, e.mem.map(address), address.length);
    const peer = await d.ok(NR.accept, listener, 0, 0);
    const into = e.mem.map(content.length);
    const receiving = e.call(NR.recvfrom, client, into, content.length, MSG.WAITALL, 0, 0);
    assert.equal(await d.ok(NR.sendto, peer, from, content.length, 0, 0, 0), content.length);
    assert.equal((await receiving).result, BigInt(content.length));
    assert.ok(e.mem.read(into, content.length).equals(content));
    const half = iovecs(e, [
      [into, 300_000],
      [into + 300_000n, 400_000],
    ]);
    e.mem.write(into, Buffer.alloc(content.length));
    const again = e.call(NR.recvmsg, client, e.mem.map(msghdr({ iov: half, count: 2 })), MSG.WAITALL);
    const v = iovecs(d, [
      [from, 5],
      [from + 5n, content.length - 5],
    ]);
    assert.equal(await d.ok(NR.sendmsg, peer, d.mem.map(msghdr({ iov: v, count: 2 })), 0), content.length);
    assert.equal((await again).result, BigInt(content.length));
    assert.ok(e.mem.read(into, content.length).equals(content));
    assert.ok(a > 0 && b > 0);
  });

  test("several messages a call", async () => {
    const d = fresh();
    const [a, b] = await pair(d, SOCK.DGRAM);
    const heads = (list: readonly bigint[], length: number): bigint => {
      const raw = Buffer.alloc(list.length * MMSGHDR.size);
      for (const [i, at] of list.entries()) msghdr({ iov: iovecs(d, [[at, length]]), count: 1 }).copy(raw, i * MMSGHDR.size);
      return d.mem.map(raw);
    };
    const out = heads([d.mem.string("one"), d.mem.string("two"), d.mem.string("six")], 3);
    assert.equal(await d.ok(NR.sendmmsg, a, out, 3, 0), 3);
    assert.equal(d.mem.read(out, 3 * MMSGHDR.size).readUInt32LE(2 * MMSGHDR.size + MMSGHDR.at.msg_len), 3);
    const rooms = Array.from({ length: 5 }, () => d.mem.map(8));
    const into = heads(rooms, 8);
    assert.equal(await d.ok(NR.recvmmsg, b, into, 5, MSG.WAITFORONE, 0), 3);
    assert.deepEqual(
      rooms.slice(0, 3).map((r) => d.mem.read(r, 3).toString()),
      ["one", "two", "six"],
    );
    assert.equal(d.mem.read(into, MMSGHDR.size).readUInt32LE(MMSGHDR.at.msg_len), 3);
    assert.equal((await d.call(NR.recvmmsg, b, into, 5, MSG.DONTWAIT, 0)).result, BigInt(-ERRNO.EAGAIN));
    await d.ok(NR.sendmmsg, a, out, 1, 0);
    const time = Buffer.alloc(TIMESPEC.size);
    time.writeBigInt64LE(50n, 8);
    const left = d.mem.map(time);
    assert.equal(await d.ok(NR.recvmmsg, b, into, 5, 0, left), 1);
    assert.equal(d.mem.read(left, 16).readBigInt64LE(8), 0n);
  });

  test("a TCP server: names of every length, options", async () => {
    const d = fresh();
    const fd = await d.ok(NR.socket, AF.INET, SOCK.STREAM, 0);
    const one = Buffer.alloc(4);
    one.writeInt32LE(1, 0);
    assert.equal(await d.ok(NR.setsockopt, fd, SOL.SOCKET, SO.REUSEADDR, d.mem.map(one), 4), 0);
    const [value, length] = [d.mem.map(4), d.mem.map(Buffer.from([4, 0, 0, 0]))];
    await d.ok(NR.getsockopt, fd, SOL.SOCKET, SO.REUSEADDR, value, length);
    assert.equal(d.mem.read(value, 4).readInt32LE(0), 1);
    assert.equal(
      (await d.call(NR.getsockopt, fd, SOL.SOCKET, SO.TYPE, value, d.mem.map(Buffer.from([255, 255, 255, 255])))).result,
      EINVAL,
    );
    assert.equal((await d.call(NR.getsockopt, fd, SOL.SOCKET, SO.TYPE, 0, length)).result, EFAULT);
    assert.equal((await d.call(NR.getsockopt, fd, SOL.SOCKET, SO.TYPE, value, 0)).result, EFAULT);
    const address = Buffer.alloc(SOCKADDR_IN.size);
    address.writeUInt16LE(AF.INET, 0);
    address.set([127, 0, 0, 1], SOCKADDR_IN.at.sin_addr);
    assert.equal((await d.call(NR.bind, fd, d.mem.map(address), 200)).result, EINVAL);
    assert.equal((await d.call(NR.bind, fd, 0x5000_0000_0000n, 16)).result, EFAULT);
    await d.ok(NR.bind, fd, d.mem.map(address), address.length);
    await d.ok(NR.listen, fd, 4);
    const [name, nameLength] = [d.mem.map(128), d.mem.map(Buffer.from([128, 0, 0, 0]))];
    await d.ok(NR.getsockname, fd, name, nameLength);
    assert.equal(d.mem.read(nameLength, 4).readInt32LE(0), SOCKADDR_IN.size);
    const port = d.mem.read(name, 16).readUInt16BE(SOCKADDR_IN.at.sin_port);
    const client: Socket = connect(port, "127.0.0.1");
    const small = d.mem.map(8);
    const smallLength = d.mem.map(Buffer.from([8, 0, 0, 0]));
    const peer = await d.ok(NR.accept4, fd, small, smallLength, SOCK.CLOEXEC);
    assert.equal(d.mem.read(smallLength, 4).readInt32LE(0), 16, "the true length, though only 8 bytes fit");
    assert.equal(d.mem.read(small, 8).readUInt16BE(2), client.localPort);
    const echo = new Promise<string>((resolve) => client.once("data", (b) => resolve(b.toString())));
    client.write("ping");
    assert.equal(await d.ok(NR.read, peer, name, 100), 4);
    await d.ok(NR.write, peer, name, 4);
    assert.equal(await echo, "ping");
    client.destroy();
    assert.equal(await d.ok(NR.read, peer, name, 100).catch(() => 0), 0);
    const server = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    const where = server.address() as { port: number };
    address.writeUInt16BE(where.port, SOCKADDR_IN.at.sin_port);
    const out = await d.ok(NR.socket, AF.INET, SOCK.STREAM, 0);
    await d.ok(NR.connect, out, d.mem.map(address), 16);
    d.mem.write(nameLength, Buffer.from([128, 0, 0, 0]));
    await d.ok(NR.getpeername, out, name, nameLength);
    assert.equal(d.mem.read(name, 16).readUInt16BE(2), where.port);
    server.close();
  });

  test("a UDP sender's address", async () => {
    const d = fresh();
    const [s, t] = [await d.ok(NR.socket, AF.INET, SOCK.DGRAM, 0), await d.ok(NR.socket, AF.INET, SOCK.DGRAM, 0)];
    const address = Buffer.alloc(16);
    address.writeUInt16LE(AF.INET, 0);
    address.set([127, 0, 0, 1], 4);
    await d.ok(NR.bind, s, d.mem.map(address), 16);
    const [name, length] = [d.mem.map(128), d.mem.map(Buffer.from([128, 0, 0, 0]))];
    await d.ok(NR.getsockname, s, name, length);
    assert.equal(await d.ok(NR.sendto, t, d.mem.string("hi"), 2, 0, name, 16), 2);
    assert.equal((await d.call(NR.sendto, t, d.mem.string("hi"), 2, 0, name, 200)).result, EINVAL);
    await d.ok(NR.getsockname, t, name, length);
    const [from, fromLength, into] = [d.mem.map(16), d.mem.map(Buffer.from([16, 0, 0, 0])), d.mem.map(10)];
    assert.equal(await d.ok(NR.recvfrom, s, into, 10, 0, from, fromLength), 2);
    assert.equal(d.mem.read(from, 16).readUInt16BE(2), d.mem.read(name, 16).readUInt16BE(2));
  });

  test("poll, ppoll, select, pselect6", async () => {
    const d = fresh();
    const [a, b] = await pair(d);
    await d.ok(NR.write, a, d.mem.string("x"), 1);
    const fds = Buffer.alloc(POLLFD.size * 4);
    for (const [i, fd] of [a, b, 900, -5].entries()) {
      fds.writeInt32LE(fd, i * 8);
      fds.writeInt16LE(POLL.IN | POLL.OUT, i * 8 + 4);
      fds.writeInt16LE(0x7777, i * 8 + 6);
    }
    const at = d.mem.map(fds);
    assert.equal(await d.ok(NR.poll, at, 4, 1000), 3);
    const after = d.mem.read(at, fds.length);
    assert.equal(after.readInt16LE(6), POLL.OUT);
    assert.equal(after.readInt16LE(14), POLL.IN | POLL.OUT);
    assert.equal(after.readInt16LE(22), POLL.NVAL, "the deputy's own descriptor is closed to the program");
    assert.equal(after.readInt32LE(16), 900);
    assert.equal(after.readInt16LE(30), 0);
    const time = Buffer.alloc(16);
    time.writeBigInt64LE(5n, 0);
    const left = d.mem.map(time);
    const { first } = await d.call(NR.ppoll, at, 2, left, d.mem.map(Buffer.from([2, 0, 0, 0, 0, 0, 0, 0])), 8);
    assert.ok(first.kind === "forward" && first.sigmask === 2n && first.args[3] === 0n && first.timeout?.kind === "timespec");
    assert.equal(d.mem.read(left, 8).readBigInt64LE(0), 4n, "the time that was left");
    assert.equal((await d.call(NR.ppoll, at, 2, 0, left, 4)).result, EINVAL);
    assert.equal((await d.call(NR.poll, 0, 2, 0)).result, EFAULT);
    assert.equal(await d.ok(NR.poll, 0, 0, 1), 0);

    const sets = d.mem.map(128);
    const bits = Buffer.alloc(128);
    bits[b >> 3] = 1 << (b & 7);
    d.mem.write(sets, bits);
    const second = Buffer.alloc(TIMEVAL.size);
    second.writeBigInt64LE(3n, 0);
    const timeval = d.mem.map(second);
    assert.equal(await d.ok(NR.select, 1024, sets, 0, 0, timeval), 1);
    assert.ok(d.mem.read(timeval, 8).readBigInt64LE(0) === 2n);
    assert.ok(d.mem.read(sets, 128).equals(bits));
    await d.ok(NR.read, b, d.mem.map(1), 1);
    d.mem.write(timeval, Buffer.alloc(16));
    assert.equal(await d.ok(NR.select, b + 1, sets, 0, 0, timeval), 0);
    assert.ok(d.mem.read(sets, 8).every((x) => x === 0));
    // A count far beyond the set: glibc's fd_set ends after 1024 descriptors.
    d.mem.write(sets, bits);
    assert.equal(await d.ok(NR.select, 60_000, 0, sets, 0, timeval), 1);
    assert.equal((await d.call(NR.select, 10, 0x1_0000_0000n, 0, 0, timeval)).result, EFAULT);
    assert.equal((await d.call(NR.select, 10, 0x1_0000_0000n, sets, 0, timeval)).result, EFAULT);
    assert.equal(await d.ok(NR.select, 0x7fffffff, 0, sets, 0, timeval), 1, "a count without bounds");
    bits[900 >> 3] = 1 << (900 & 7);
    assert.equal((await d.call(NR.select, 1000, d.mem.map(bits), 0, 0, timeval)).result, BigInt(-ERRNO.EBADF));
    const pack = Buffer.alloc(16);
    pack.writeBigUInt64LE(d.mem.map(Buffer.from([4, 0, 0, 0, 0, 0, 0, 0])), 0);
    pack.writeBigUInt64LE(8n, 8);
    const p = await d.call(NR.pselect6, 0, 0, 0, 0, d.mem.map(16), d.mem.map(pack));
    assert.ok(p.result === 0n && p.first.kind === "forward" && p.first.sigmask === 4n);
  });

  test("epoll and eventfd", async () => {
    const d = fresh();
    const [ep, ev] = [await d.ok(NR.epoll_create1, 0), await d.ok(NR.eventfd2, 0, 0)];
    const event = Buffer.alloc(EPOLL_EVENT.size);
    event.writeUInt32LE(EPOLL.IN, 0);
    event.writeBigUInt64LE(0xabcdef0123456789n, EPOLL_EVENT.at.data);
    await d.ok(NR.epoll_ctl, ep, EPOLL_CTL.ADD, ev, d.mem.map(event));
    assert.equal((await d.call(NR.epoll_ctl, ep, EPOLL_CTL.ADD, 900, d.mem.map(event))).result, BigInt(-ERRNO.EBADF));
    const into = d.mem.map(EPOLL_EVENT.size * 100);
    assert.equal(await d.ok(NR.epoll_wait, ep, into, 100, 0), 0);
    await d.ok(NR.write, ev, d.mem.map(Buffer.from([1, 0, 0, 0, 0, 0, 0, 0])), 8);
    for (const nr of [NR.epoll_wait, NR.epoll_pwait]) {
      d.mem.write(into, Buffer.alloc(24));
      assert.equal(await d.ok(nr, ep, into, 100, -1, 0, 8), 1);
      assert.equal(d.mem.read(into, 12).readBigUInt64LE(4), 0xabcdef0123456789n);
    }
    assert.equal(await d.ok(NR.epoll_pwait2, ep, into, 0xaaaaaaa, d.mem.map(16), 0, 8), 1, "more events than can be");
    assert.equal((await d.call(NR.epoll_wait, ep, into, 0, 0)).result, EINVAL);
    assert.equal((await d.call(NR.epoll_wait, ep, 0, 1, 0)).result, EFAULT);
  });

  test("network interfaces", async () => {
    const d = fresh();
    const fd = await d.ok(NR.socket, AF.INET, SOCK.DGRAM, 0);
    const conf = Buffer.alloc(IFCONF.size);
    const at = d.mem.map(conf);
    await d.ok(NR.ioctl, fd, IOCTL_SPECIAL.SIOCGIFCONF, at);
    const needed = d.mem.read(at, 16).readInt32LE(0);
    const list = d.mem.map(needed + 40);
    conf.writeInt32LE(needed + 40, 0);
    conf.writeBigUInt64LE(list, IFCONF.at.ifc_buf);
    d.mem.write(at, conf);
    await d.ok(NR.ioctl, fd, IOCTL_SPECIAL.SIOCGIFCONF, at);
    const after = d.mem.read(at, 16);
    assert.equal(after.readInt32LE(0), needed);
    assert.equal(after.readBigUInt64LE(8), list);
    if (needed > 0) assert.match(d.mem.read(list, 16).toString("latin1"), /^[a-z]/);
    const request = Buffer.alloc(40);
    request.write("lo");
    const lo = d.mem.map(request);
    await d.ok(NR.ioctl, fd, 0x8933, lo);
    assert.equal(d.mem.read(lo, 40).readInt32LE(16), 1, "index of lo");
    await assert.rejects(d.call(NR.ioctl, fd, 0x8946, lo), /ioctl: 0x8946/);
    assert.ok(O.RDONLY === 0);
  });
});
