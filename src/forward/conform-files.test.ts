/** Plans carried out for real: what the program sees is what Node's own file functions see. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { after, describe, test } from "node:test";
import { AT, ERRNO, F, FLOCK, IOVEC, NR, O, STAT, STATX, STATX_BUF, TERMIOS, TIMESPEC } from "../abi/mod.ts";
import { type Deputy, noCompiler, Workshop } from "./testdata/deputy.ts";

const EBADF = BigInt(-ERRNO.EBADF);
const EFAULT = BigInt(-ERRNO.EFAULT);
const EINVAL = BigInt(-ERRNO.EINVAL);

describe("files through a deputy", { skip: noCompiler }, () => {
  const shop = noCompiler ? null : new Workshop();
  after(() => shop?.close());
  const workshop = (): Workshop => shop as Workshop;
  const open = (d: Deputy, name: string, flags: number = O.RDONLY, mode = 0o644): Promise<number> =>
    d.ok(NR.openat, AT.FDCWD, d.mem.string(name), flags, mode);
  const iovecs = (d: Deputy, list: readonly (readonly [bigint, number])[]): bigint => {
    const raw = Buffer.alloc(list.length * IOVEC.size);
    list.forEach(([base, length], i) => {
      raw.writeBigUInt64LE(base, i * IOVEC.size);
      raw.writeBigUInt64LE(BigInt(length), i * IOVEC.size + 8);
    });
    return d.mem.map(raw);
  };

  test("write, seek, read, and fail as the kernel does", async () => {
    const d = workshop().deputy();
    const fd = await open(d, "plain", O.RDWR | O.CREAT);
    const text = d.mem.map(Buffer.from("hello, home"));
    assert.equal(await d.ok(NR.write, fd, text, 11), 11);
    assert.equal(readFileSync(workshop().path("plain"), "utf8"), "hello, home");
    assert.equal(await d.ok(NR.lseek, fd, 7, 0), 7);
    const into = d.mem.map(16);
    assert.equal(await d.ok(NR.read, fd, into, 16), 4);
    assert.equal(d.mem.read(into, 5).toString("latin1"), "home\0");
    assert.equal((await d.call(NR.read, fd, 0, 0)).result, 0n);
    assert.equal((await d.call(NR.write, fd, 0, 10)).result, EFAULT);
    await d.ok(NR.lseek, fd, 0, 0);
    assert.equal((await d.call(NR.read, fd, 0x1234_5678_0000n, 10)).result, EFAULT);
    assert.equal((await d.call(NR.read, 77, 0, 10)).result, EBADF);
    assert.equal((await d.call(NR.write, 900, text, 3)).result, EBADF, "the deputy's own descriptor looks closed");
    assert.equal((await d.call(NR.close, 901)).result, EBADF);
    assert.equal(await d.ok(NR.close, fd), 0);
  });

  test("a buffer that ends in nothing gives a short write", async () => {
    const d = workshop().deputy();
    const fd = await open(d, "short", O.RDWR | O.CREAT);
    const text = d.mem.map(Buffer.from("only this"));
    assert.equal(await d.ok(NR.write, fd, text, 100), 9);
    assert.equal(await d.ok(NR.pwrite64, fd, text, 100, 4), 9);
    assert.equal(readFileSync(workshop().path("short"), "utf8"), "onlyonly this");
  });

  test("reads and writes far larger than the deputy's buffer", async () => {
    const d = workshop().deputy();
    const content = randomBytes(1_000_003);
    const fd = await open(d, "large", O.RDWR | O.CREAT);
    const from = d.mem.map(content);
    const wrote = await d.call(NR.write, fd, from, content.length);
    assert.equal(wrote.result, BigInt(content.length));
    assert.ok(wrote.calls >= 4);
    assert.ok(readFileSync(workshop().path("large")).equals(content));
    const into = d.mem.map(2_000_000);
    assert.equal(await d.ok(NR.pread64, fd, into, 2_000_000, 3), content.length - 3);
    assert.ok(d.mem.read(into, content.length - 3).equals(content.subarray(3)));
    await d.ok(NR.lseek, fd, 0, 0);
    assert.equal(await d.ok(NR.read, fd, into, content.length), content.length);
    assert.ok(d.mem.read(into, content.length).equals(content));
    const zero = await open(d, "/dev/zero");
    assert.equal(await d.ok(NR.read, zero, into, 900_000), 900_000, "/dev/zero fills every read");
  });

  test("a large read from a pipe is as short as the pipe's content", async () => {
    const d = workshop().deputy();
    const fds = d.mem.map(8);
    await d.ok(NR.pipe2, fds, 0);
    const [r, w] = [d.mem.read(fds, 4).readInt32LE(0), d.mem.read(fds + 4n, 4).readInt32LE(0)];
    assert.equal(await d.ok(NR.write, w, d.mem.map(Buffer.from("abc")), 3), 3);
    const into = d.mem.map(600_000);
    const outcome = await d.call(NR.read, r, into, 600_000);
    assert.equal(outcome.result, 3n);
    assert.equal(outcome.calls, 2);
  });

  test("vectors, with odd and empty pieces, positions and flags", async () => {
    const d = workshop().deputy();
    const fd = await open(d, "vector", O.RDWR | O.CREAT);
    const v = iovecs(d, [
      [d.mem.map(Buffer.from("one ")), 4],
      [0n, 0],
      [d.mem.map(Buffer.from("two ")), 4],
      [d.mem.map(Buffer.from("three")), 5],
    ]);
    assert.equal(await d.ok(NR.writev, fd, v, 4), 13);
    assert.equal(readFileSync(workshop().path("vector"), "utf8"), "one two three");
    const [a, b] = [d.mem.map(3), d.mem.map(7)];
    assert.equal(
      await d.ok(
        NR.preadv,
        fd,
        iovecs(d, [
          [a, 3],
          [b, 7],
        ]),
        2,
        4,
      ),
      9,
    );
    assert.equal(d.mem.read(a, 3).toString() + d.mem.read(b, 6).toString(), "two three");
    assert.equal(await d.ok(NR.pwritev2, fd, v, 4, 2, 0, 0), 13);
    assert.equal(readFileSync(workshop().path("vector"), "utf8"), "onone two three");
    assert.equal((await d.call(NR.readv, fd, v, 1025)).result, EINVAL);
    assert.equal((await d.call(NR.readv, fd, v, -1)).result, EINVAL);
    assert.equal((await d.call(NR.readv, fd, 0, 2)).result, EFAULT);
    assert.equal((await d.call(NR.readv, 55, 0, 2)).result, EBADF);
    assert.equal(
      (
        await d.call(
          NR.readv,
          fd,
          iovecs(
            d,
            [[a, -1 as number]].map(([p]) => [p as bigint, 0] as const),
          ),
          1,
        )
      ).result,
      0n,
    );
    assert.equal((await d.call(NR.writev, fd, v, 0)).result, 0n);
  });

  test("vectors larger than the buffer", async () => {
    const d = workshop().deputy();
    const content = randomBytes(900_000);
    const fd = await open(d, "large-vector", O.RDWR | O.CREAT);
    const at = d.mem.map(content);
    const v = iovecs(d, [
      [at, 333_333],
      [at + 333_333n, 1],
      [at + 333_334n, content.length - 333_334],
    ]);
    assert.equal(await d.ok(NR.writev, fd, v, 3), content.length);
    assert.ok(readFileSync(workshop().path("large-vector")).equals(content));
    const into = d.mem.map(content.length);
    assert.equal(
      await d.ok(
        NR.preadv,
        fd,
        iovecs(d, [
          [into, 450_001],
          [into + 450_001n, 449_999],
        ]),
        2,
        0,
      ),
      content.length,
    );
    assert.ok(d.mem.read(into, content.length).equals(content));
  });

  test("stat, statx, and what they say of what is not there", async () => {
    const d = workshop().deputy();
    writeFileSync(workshop().path("stat-me"), "12345");
    const node = statSync(workshop().path("stat-me"), { bigint: true });
    const into = d.mem.map(STAT.size);
    for (const call of [
      () => d.ok(NR.stat, d.mem.string("stat-me"), into),
      () => d.ok(NR.newfstatat, AT.FDCWD, d.mem.string("stat-me"), into, 0),
      async () => d.ok(NR.fstat, await open(d, "stat-me"), into),
    ]) {
      await call();
      const stat = d.mem.read(into, STAT.size);
      assert.equal(stat.readBigUInt64LE(STAT.at.st_ino), node.ino);
      assert.equal(stat.readBigInt64LE(STAT.at.st_size), 5n);
      assert.equal(stat.readBigInt64LE(STAT.at.st_mtim + 8), node.mtimeNs % 1_000_000_000n);
    }
    const x = d.mem.map(STATX_BUF.size);
    await d.ok(NR.statx, AT.FDCWD, d.mem.string("stat-me"), 0, STATX.BASIC_STATS, x);
    assert.equal(d.mem.read(x, STATX_BUF.size).readBigUInt64LE(STATX_BUF.at.stx_ino), node.ino);
    assert.equal((await d.call(NR.stat, d.mem.string("absent"), into)).result, BigInt(-ERRNO.ENOENT));
    assert.equal((await d.call(NR.stat, 0, into)).result, EFAULT);
    assert.equal((await d.call(NR.stat, d.mem.map(Buffer.from("unterminated")), into)).result, EFAULT);
    assert.equal((await d.call(NR.stat, d.mem.string("x".repeat(5000)), into)).result, BigInt(-ERRNO.ENAMETOOLONG));
    assert.equal((await d.call(NR.stat, d.mem.string("stat-me"), 0)).result, EFAULT);
  });

  test("directories, links, working directory", async () => {
    const d = workshop().deputy();
    mkdirSync(workshop().path("dir"));
    for (let i = 0; i < 40; i++) writeFileSync(workshop().path(`dir/file${i}`), "");
    symlinkSync("dir/file1", workshop().path("link"));
    const into = d.mem.map(100_000);
    const fd = await open(d, "dir", O.DIRECTORY);
    const names: string[] = [];
    for (;;) {
      // A buffer of two gigabytes is as good as a small one.
      const n = await d.ok(NR.getdents64, fd, into, names.length === 0 ? 300 : 100_000);
      if (n === 0) break;
      const bytes = d.mem.read(into, n);
      for (let at = 0; at < n; at += bytes.readUInt16LE(at + 16)) {
        names.push(bytes.toString("latin1", at + 19, bytes.indexOf(0, at + 19)));
      }
    }
    assert.deepEqual(names.filter((n) => !n.startsWith(".")).sort(), readdirSync(workshop().path("dir")).sort());
    const length = await d.ok(NR.readlink, d.mem.string("link"), into, 4096);
    assert.equal(d.mem.read(into, length).toString(), readlinkSync(workshop().path("link")));
    assert.equal(await d.ok(NR.readlink, d.mem.string("link"), into, 3), 3);
    assert.equal((await d.call(NR.readlink, d.mem.string("link"), into, 0)).result, EINVAL);
    await d.ok(NR.chdir, d.mem.string("dir"));
    const cwd = await d.ok(NR.getcwd, into, 4096);
    assert.equal(d.mem.read(into, cwd - 1).toString(), workshop().path("dir"));
    assert.equal((await d.call(NR.getcwd, into, 5)).result, BigInt(-ERRNO.ERANGE));
    assert.equal((await d.call(NR.getcwd, 0, 4096)).result, EFAULT);
    await d.ok(NR.rename, d.mem.string("file1"), d.mem.string("renamed"));
    await d.ok(NR.unlinkat, AT.FDCWD, d.mem.string("file2"), 0);
    assert.ok(existsSync(workshop().path("dir/renamed")) && !existsSync(workshop().path("dir/file2")));
    await d.ok(NR.utimensat, AT.FDCWD, d.mem.string("renamed"), d.mem.map(Buffer.alloc(TIMESPEC.size * 2, 1)), 0).catch(() => 0);
    await d.ok(NR.utimensat, AT.FDCWD, d.mem.string("renamed"), 0, 0);
  });

  test("extended attributes of every size", async () => {
    const d = workshop().deputy();
    writeFileSync(workshop().path("attr"), "");
    const [path, name] = [d.mem.string("attr"), d.mem.string("user.tesela")];
    const set = await d.call(NR.setxattr, path, name, d.mem.map(Buffer.from("value")), 5, 0);
    if (set.result === BigInt(-ERRNO.EOPNOTSUPP)) return;
    const into = d.mem.map(70_000);
    assert.equal(await d.ok(NR.getxattr, path, name, into, 70_000), 5);
    assert.equal(d.mem.read(into, 5).toString(), "value");
    assert.equal(await d.ok(NR.getxattr, path, name, 0, 0), 5, "asks for the size");
    assert.equal((await d.call(NR.getxattr, path, name, into, 2)).result, BigInt(-ERRNO.ERANGE));
    assert.equal(await d.ok(NR.listxattr, path, into, 70_000), 12);
    assert.equal((await d.call(NR.setxattr, path, name, into, 70_000, 0)).result, BigInt(-ERRNO.E2BIG));
    assert.equal((await d.call(NR.getxattr, path, d.mem.string(`user.${"x".repeat(300)}`), into, 5)).result, BigInt(-ERRNO.ERANGE));
  });

  test("descriptors: dup, fcntl, locks, close_range around the deputy's own", async () => {
    const d = workshop().deputy();
    const fd = await open(d, "locked", O.RDWR | O.CREAT);
    const lock = Buffer.alloc(FLOCK.size);
    lock.writeInt16LE(F.WRLCK, FLOCK.at.l_type);
    lock.writeBigInt64LE(10n, FLOCK.at.l_start);
    lock.writeBigInt64LE(5n, FLOCK.at.l_len);
    assert.equal(await d.ok(NR.fcntl, fd, F.SETLK, d.mem.map(lock)), 0);
    const other = workshop().deputy();
    const fd2 = await open(other, "locked", O.RDWR);
    const query = Buffer.from(lock);
    const at = other.mem.map(query);
    await other.ok(NR.fcntl, fd2, F.GETLK, at);
    const answer = other.mem.read(at, FLOCK.size);
    assert.equal(answer.readInt32LE(FLOCK.at.l_pid), d.pid);
    assert.equal(answer.readBigInt64LE(FLOCK.at.l_start), 10n);
    assert.equal((await other.call(NR.fcntl, fd2, F.SETLK, other.mem.map(lock))).result, BigInt(-ERRNO.EAGAIN));
    assert.equal((await other.call(NR.fcntl, fd2, F.SETLK, 0)).result, EFAULT);
    const copy = await d.ok(NR.fcntl, fd, F.DUPFD_CLOEXEC, 100);
    assert.equal(copy, 100);
    assert.equal(await d.ok(NR.fcntl, copy, F.GETFD, 0), 1);
    assert.equal(await d.ok(NR.dup3, fd, 950, O.CLOEXEC), 950);
    assert.deepEqual((await d.call(NR.close_range, 800, 0xffffffff, 0)).result, 0n);
    assert.equal((await d.call(NR.fcntl, 950, F.GETFD, 0)).result, EBADF);
    assert.equal(await d.ok(NR.fcntl, copy, F.GETFD, 0), 1, "below the range");
    assert.equal((await d.call(NR.close_range, 800, 1000, 0xff)).result, EINVAL);
    assert.equal((await d.call(NR.close_range, 1000, 800, 0)).result, EINVAL);
    assert.equal((await d.call(NR.close_range, 900, 901, 0)).result, 0n);
  });

  test("a pipe whose numbers cannot be told is closed again", async () => {
    const d = workshop().deputy();
    const before = await d.ok(NR.dup, 0);
    await d.ok(NR.close, before);
    const where = d.mem.map(8, { readonly: true });
    const { result, calls } = await d.call(NR.pipe2, where, 0);
    assert.equal(result, EFAULT);
    assert.equal(calls, 3);
    assert.equal(await d.ok(NR.dup, 0), before, "no descriptor stays behind");
    assert.equal((await d.call(NR.pipe, 0)).result, EFAULT);
  });

  test("ioctl on what is no terminal", async () => {
    const d = workshop().deputy();
    const fd = await open(d, "plain", O.RDWR | O.CREAT);
    assert.equal((await d.call(NR.ioctl, fd, 0x5401, d.mem.map(TERMIOS.size))).result, BigInt(-ERRNO.ENOTTY));
    assert.equal((await d.call(NR.ioctl, fd, 0x5451, 0)).result, 0n, "FIOCLEX");
    assert.equal(await d.ok(NR.fcntl, fd, F.GETFD, 0), 1);
    const left = d.mem.map(4);
    await d.ok(NR.write, fd, d.mem.map(Buffer.from("12345678")), 8);
    await d.ok(NR.lseek, fd, 3, 0);
    await d.ok(NR.ioctl, fd, 0x541b, left);
    assert.ok(d.mem.read(left, 4).readInt32LE(0) >= 5, "FIONREAD");
  });

  test("direct I/O finds its alignment", async (t) => {
    const d = workshop().deputy();
    writeFileSync(workshop().path("direct"), randomBytes(600_000));
    const opened = await d.call(NR.openat, AT.FDCWD, d.mem.string("direct"), O.RDONLY | O.DIRECT, 0);
    if (opened.result === EINVAL) return t.skip("this file system has no direct I/O");
    const fd = Number(opened.result);
    const content = readFileSync(workshop().path("direct"));
    const into = d.mem.map(700_000);
    assert.equal(await d.ok(NR.pread64, fd, into, 8192, 4096), 8192);
    assert.ok(d.mem.read(into, 8192).equals(content.subarray(4096, 12288)));
    assert.equal(
      await d.ok(
        NR.readv,
        fd,
        iovecs(d, [
          [into, 4096],
          [into + 8192n, 4096],
        ]),
        2,
      ),
      8192,
    );
    assert.ok(d.mem.read(into + 8192n, 4096).equals(content.subarray(4096, 8192)));
    await d.ok(NR.lseek, fd, 0, 0);
    assert.equal(await d.ok(NR.read, fd, into, 524_288), 524_288);
    assert.ok(d.mem.read(into, 524_288).equals(content.subarray(0, 524_288)));
    return undefined;
  });

  test("file handles", async (t) => {
    const d = workshop().deputy();
    writeFileSync(workshop().path("handled"), "by handle");
    const small = d.mem.map(Buffer.alloc(8));
    const mount = d.mem.map(4);
    const path = d.mem.string("handled");
    const asked = await d.call(NR.name_to_handle_at, AT.FDCWD, path, small, mount, 0);
    if (asked.result === BigInt(-ERRNO.EOPNOTSUPP)) return t.skip("this file system has no handles");
    assert.equal(asked.result, BigInt(-ERRNO.EOVERFLOW));
    const size = d.mem.read(small, 4).readUInt32LE(0);
    assert.ok(size > 0, "the size that is needed");
    const handle = Buffer.alloc(8 + size);
    handle.writeUInt32LE(size, 0);
    const at = d.mem.map(handle);
    await d.ok(NR.name_to_handle_at, AT.FDCWD, path, at, mount, 0);
    const dir = await open(d, ".", O.DIRECTORY);
    const opened = await d.call(NR.open_by_handle_at, dir, at, O.RDONLY);
    if (opened.result < 0n) return t.skip(`handles cannot be opened here: ${opened.result}`);
    assert.equal(await d.ok(NR.read, Number(opened.result), d.mem.map(20), 20), 9);
    return undefined;
  });

  test("offsets that go in and out: sendfile, copy_file_range, splice", async () => {
    const d = workshop().deputy();
    writeFileSync(workshop().path("source"), "0123456789");
    const [from, to] = [await open(d, "source"), await open(d, "target", O.RDWR | O.CREAT)];
    const offset = Buffer.alloc(8);
    offset.writeBigInt64LE(4n, 0);
    const at = d.mem.map(offset);
    assert.equal(await d.ok(NR.sendfile, to, from, at, 3), 3);
    assert.equal(d.mem.read(at, 8).readBigInt64LE(0), 7n);
    assert.equal(await d.ok(NR.copy_file_range, from, at, to, 0, 2, 0), 2);
    assert.equal(d.mem.read(at, 8).readBigInt64LE(0), 9n);
    assert.equal(readFileSync(workshop().path("target"), "utf8"), "45678");
    assert.equal((await d.call(NR.sendfile, to, from, 0x1_0000_0000n, 3)).result, EFAULT);
  });
});
