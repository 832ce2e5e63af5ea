/** Calls by path and about who the process is, carried out for real by a deputy: all that have no test of their own. */
import assert from "node:assert/strict";
import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from "node:fs";
import { after, describe, test } from "node:test";
import { AT, ERRNO, NR, O, OPEN_HOW, RENAME, S, SCHED, SCHED_ATTR, STAT, STATFS } from "../abi/mod.ts";
import { type Deputy, noCompiler, Workshop } from "./testdata/deputy.ts";

const error = (name: keyof typeof ERRNO): bigint => BigInt(-ERRNO[name]);

describe("paths and identities through a deputy", { skip: noCompiler }, () => {
  const shop = noCompiler ? null : new Workshop();
  after(() => shop?.close());
  const fresh = (): Deputy => (shop as Workshop).deputy();
  const path = (name: string): string => (shop as Workshop).path(name);
  const u64 = (...values: bigint[]): Buffer => {
    const b = Buffer.alloc(8 * values.length);
    values.forEach((v, i) => {
      b.writeBigInt64LE(v, 8 * i);
    });
    return b;
  };

  test("made, named, linked and taken away", async () => {
    const d = fresh();
    const s = (text: string): bigint => d.mem.string(text);
    assert.equal(await d.ok(NR.mkdir, s("folder"), 0o700), 0);
    const folder = await d.ok(NR.open, s("folder"), O.RDONLY | O.DIRECTORY, 0);
    assert.equal(await d.ok(NR.mkdirat, folder, s("inner"), 0o755), 0);
    assert.equal(await d.ok(NR.creat, s("folder/file"), 0o640), folder + 1);
    assert.equal(await d.ok(NR.write, folder + 1, s("text"), 4), 4);
    assert.equal(await d.ok(NR.link, s("folder/file"), s("folder/second")), 0);
    assert.equal(await d.ok(NR.linkat, folder, s("file"), folder, s("third"), 0), 0);
    assert.equal(statSync(path("folder/file")).nlink, 3);
    assert.equal(await d.ok(NR.symlink, s("file"), s("folder/soft")), 0);
    assert.equal(await d.ok(NR.symlinkat, s("nowhere"), folder, s("broken")), 0);
    assert.equal(readlinkSync(path("folder/broken")), "nowhere");
    const into = d.mem.map(64);
    assert.equal(await d.ok(NR.readlinkat, folder, s("soft"), into, 2), 2, "cut");
    assert.equal(await d.ok(NR.rename, s("folder/second"), s("folder/moved")), 0);
    assert.equal(await d.ok(NR.renameat, folder, s("moved"), folder, s("again")), 0);
    assert.equal((await d.call(NR.renameat2, folder, s("again"), folder, s("third"), RENAME.NOREPLACE)).result, error("EEXIST"));
    assert.equal(await d.ok(NR.renameat2, folder, s("inner"), folder, s("again"), RENAME.EXCHANGE), 0);
    assert.ok(statSync(path("folder/again")).isDirectory());
    assert.equal(await d.ok(NR.mknod, s("folder/fifo"), S.IFIFO | 0o600, 0), 0);
    assert.equal(await d.ok(NR.mknodat, folder, s("socket"), S.IFSOCK | 0o600, 0), 0);
    assert.ok(lstatSync(path("folder/fifo")).isFIFO() && lstatSync(path("folder/socket")).isSocket());
    const entries = d.mem.map(4096);
    const n = await d.ok(NR.getdents, folder, entries, 4096);
    const names: string[] = [];
    for (let at = 0, bytes = d.mem.read(entries, n); at < n; at += bytes.readUInt16LE(at + 16))
      names.push(bytes.subarray(at + 18, bytes.indexOf(0, at + 18)).toString());
    assert.deepEqual(names.filter((x) => !x.startsWith(".")).sort(), readdirSync(path("folder")).sort());
    assert.equal((await d.call(NR.rmdir, s("folder"))).result, error("ENOTEMPTY"));
    assert.equal(await d.ok(NR.rmdir, s("folder/again")), 0);
    assert.equal(await d.ok(NR.unlink, s("folder/broken")), 0);
    assert.equal((await d.call(NR.unlink, s("folder/broken"))).result, error("ENOENT"));
    assert.equal(await d.ok(NR.unlinkat, folder, s("fifo"), 0), 0);
    for (const nr of [NR.mkdir, NR.rmdir, NR.unlink, NR.creat, NR.chdir, NR.chmod, NR.truncate, NR.access])
      for (const bad of [0n, 8n, 0x1234_5678_0000n, 0xffff_ffff_ffff_f000n])
        assert.equal((await d.call(nr, bad, 0)).result, error("EFAULT"));
    for (const nr of [NR.link, NR.symlink, NR.rename]) assert.equal((await d.call(nr, s("folder/file"), 0)).result, error("EFAULT"));
    assert.equal((await d.call(NR.mkdir, s("x".repeat(5000)), 0)).result, error("ENAMETOOLONG"));
    assert.equal((await d.call(NR.mkdir, s(""), 0)).result, error("ENOENT"));
    assert.equal((await d.call(NR.mkdirat, 900, s("y"), 0)).result, error("EBADF"), "the deputy's own");
    assert.equal(await d.ok(NR.fchdir, folder), 0);
    assert.equal(await d.ok(NR.access, s("file"), 4), 0);
    assert.equal((await d.call(NR.faccessat, folder, s("none"), 0)).result, error("ENOENT"));
    assert.equal(await d.ok(NR.faccessat2, folder, s("file"), 4, AT.EACCESS), 0);
  });

  test("opened as it is said, and not beyond", async () => {
    const d = fresh();
    const s = (text: string): bigint => d.mem.string(text);
    const how = (flags: bigint, resolve: bigint): bigint => d.mem.map(u64(flags, 0n, resolve));
    await d.ok(NR.mkdir, s("below"), 0o755);
    writeFileSync(path("below/file"), "x");
    const below = await d.ok(NR.openat, AT.FDCWD, s("below"), O.RDONLY | O.DIRECTORY);
    const beneath = 8n;
    assert.ok((await d.ok(NR.openat2, below, s("file"), how(0n, beneath), OPEN_HOW.size)) > below);
    assert.equal((await d.call(NR.openat2, below, s("../below/file"), how(0n, beneath), OPEN_HOW.size)).result, error("EXDEV"));
    assert.equal((await d.call(NR.openat2, below, s("file"), how(0n, beneath), 8)).result, error("EINVAL"));
    assert.equal((await d.call(NR.openat2, below, s("file"), how(1n << 60n, 0n), OPEN_HOW.size)).result, error("EINVAL"));
    const larger = d.mem.map(Buffer.concat([u64(0n, 0n, 0n), Buffer.alloc(8)]));
    assert.ok((await d.ok(NR.openat2, below, s("file"), larger, 32)) > below, "zeros of a newer structure");
    const newer = d.mem.map(u64(0n, 0n, 0n, 1n));
    assert.equal((await d.call(NR.openat2, below, s("file"), newer, 32)).result, error("E2BIG"));
    assert.equal((await d.call(NR.openat2, below, s("file"), 0, OPEN_HOW.size)).result, error("EFAULT"));
  });

  test("rights, owners, times and sizes", async () => {
    const d = fresh();
    const s = (text: string): bigint => d.mem.string(text);
    writeFileSync(path("mine"), "0123456789");
    const fd = await d.ok(NR.open, s("mine"), O.RDWR, 0);
    const here = AT.FDCWD;
    const mode = (): number => statSync(path("mine")).mode & 0o7777;
    for (const [nr, ...args] of [
      [NR.chmod, s("mine"), 0o600],
      [NR.fchmod, fd, 0o604],
      [NR.fchmodat, here, s("mine"), 0o606],
    ] as const) {
      await d.ok(nr, ...args);
      assert.equal(mode(), Number(args.at(-1)));
    }
    const [uid, gid] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0];
    assert.equal(await d.ok(NR.chown, s("mine"), uid, gid), 0);
    assert.equal(await d.ok(NR.fchown, fd, 0xffffffff, gid), 0);
    assert.equal(await d.ok(NR.lchown, s("mine"), uid, 0xffffffff), 0);
    assert.equal(await d.ok(NR.fchownat, here, s("mine"), uid, gid, AT.SYMLINK_NOFOLLOW), 0);
    const time = (): [number, number] => [statSync(path("mine")).atimeMs, statSync(path("mine")).mtimeMs];
    await d.ok(NR.utime, s("mine"), d.mem.map(u64(100n, 200n)));
    assert.deepEqual(time(), [100_000, 200_000]);
    await d.ok(NR.utimes, s("mine"), d.mem.map(u64(101n, 5000n, 201n, 6000n)));
    assert.deepEqual(time(), [101_005, 201_006]);
    await d.ok(NR.futimesat, here, s("mine"), d.mem.map(u64(102n, 0n, 202n, 0n)));
    await d.ok(NR.utimensat, fd, 0, d.mem.map(u64(103n, 0n, 203n, 0n)), 0);
    assert.deepEqual(time(), [103_000, 203_000], "by the descriptor alone");
    assert.equal((await d.call(NR.utimes, s("mine"), d.mem.map(u64(0n, 1_000_000n, 0n, 0n)))).result, error("EINVAL"));
    assert.equal((await d.call(NR.utimensat, here, s("mine"), 8, 0)).result, error("EFAULT"));
    assert.equal(await d.ok(NR.truncate, s("mine"), 4), 0);
    assert.equal(await d.ok(NR.fallocate, fd, 0, 0, 5000), 0);
    assert.equal(statSync(path("mine")).size, 5000);
    for (const [nr, ...args] of [
      [NR.fsync, fd],
      [NR.fdatasync, fd],
      [NR.fadvise64, fd, 0, 0, 2],
      [NR.readahead, fd, 0, 100],
      [NR.sync_file_range, fd, 0, 0, 2],
      [NR.syncfs, fd],
    ] as const)
      assert.equal(await d.ok(nr, ...args), 0);
    const fs = d.mem.map(STATFS.size);
    for (const call of [
      [NR.statfs, s("mine"), fs],
      [NR.fstatfs, fd, fs],
    ] as const) {
      d.mem.write(fs, Buffer.alloc(STATFS.size));
      await d.ok(call[0], call[1], call[2]);
      assert.ok(d.mem.read(fs, STATFS.size).readBigUInt64LE(STATFS.at.f_bsize) > 0n);
    }
    const stat = d.mem.map(STAT.size);
    assert.equal((await d.call(NR.lstat, s("mine"), 0)).result, error("EFAULT"));
    await d.ok(NR.lstat, s("mine"), stat);
    assert.equal(d.mem.read(stat, STAT.size).readBigInt64LE(STAT.at.st_size), 5000n);
    const old = await d.ok(NR.umask, 0o077);
    assert.equal(await d.ok(NR.umask, old), 0o077);
    const name = s("user.tesela");
    if ((await d.call(NR.fsetxattr, fd, name, s("value"), 5, 1)).result !== 0n) return;
    assert.equal((await d.call(NR.fsetxattr, fd, name, s("value"), 5, 1)).result, error("EEXIST"), "XATTR_CREATE");
    const into = d.mem.map(100);
    assert.equal(await d.ok(NR.lgetxattr, s("mine"), name, into, 100), 5);
    assert.equal(await d.ok(NR.fgetxattr, fd, name, into, 100), 5);
    assert.ok((await d.ok(NR.flistxattr, fd, into, 100)) >= 12);
    assert.equal(await d.ok(NR.llistxattr, s("mine"), 0, 0), await d.ok(NR.flistxattr, fd, into, 100));
    assert.equal(await d.ok(NR.fremovexattr, fd, name), 0);
    assert.equal((await d.call(NR.removexattr, s("mine"), name)).result, error("ENODATA"));
    assert.equal((await d.call(NR.lremovexattr, s("mine"), 0)).result, error("EFAULT"));
  });

  test("who it is, and how it is scheduled", async () => {
    const d = fresh();
    const status = (key: string): string =>
      new RegExp(`^${key}:\\t(.*)$`, "m").exec(readFileSync(`/proc/${d.pid}/status`, "utf8"))?.[1] ?? "";
    const three = d.mem.map(12);
    await d.ok(NR.getresuid, three, three + 4n, three + 8n);
    assert.deepEqual(
      [0, 4, 8].map((at) => d.mem.read(three, 12).readUInt32LE(at)).join("\t"),
      status("Uid").split("\t").slice(0, 3).join("\t"),
    );
    await d.ok(NR.getresgid, three, three + 4n, three + 8n);
    assert.equal((await d.call(NR.getresgid, three, 0, three)).result, error("EFAULT"));
    assert.equal(await d.ok(NR.setfsuid, 0xffffffff), await d.ok(NR.geteuid));
    assert.equal(await d.ok(NR.setfsgid, 0xffffffff), await d.ok(NR.getegid));
    assert.equal(await d.ok(NR.setreuid, 0xffffffff, 0xffffffff), 0);
    assert.equal(await d.ok(NR.setresgid, 0xffffffff, 0xffffffff, 0xffffffff), 0);
    assert.equal(await d.ok(NR.setsid), d.pid);
    assert.deepEqual([await d.ok(NR.getpgrp), await d.ok(NR.getpgid, 0), await d.ok(NR.getsid, 0)], [d.pid, d.pid, d.pid]);
    assert.equal((await d.call(NR.setpgid, 0, 0)).result, error("EPERM"), "the leader of a session");
    assert.equal(await d.ok(NR.setpriority, 0, 0, 5), 0);
    assert.equal(await d.ok(NR.getpriority, 0, 0), 15, "20 less its nice value");
    assert.equal(await d.ok(NR.sched_getscheduler, 0), SCHED.NORMAL);
    const parameter = d.mem.map(4);
    assert.equal(await d.ok(NR.sched_getparam, 0, parameter), 0);
    assert.equal(await d.ok(NR.sched_setparam, 0, parameter), 0);
    assert.equal(await d.ok(NR.sched_setscheduler, 0, SCHED.BATCH, parameter), 0);
    assert.equal(await d.ok(NR.sched_get_priority_max, SCHED.FIFO), 99);
    assert.equal(await d.ok(NR.sched_get_priority_min, SCHED.FIFO), 1);
    const interval = d.mem.map(16);
    assert.equal(await d.ok(NR.sched_rr_get_interval, 0, interval), 0);
    const attr = d.mem.map(SCHED_ATTR.size);
    assert.equal(await d.ok(NR.sched_getattr, 0, attr, SCHED_ATTR.size, 0), 0);
    assert.equal(d.mem.read(attr, 8).readUInt32LE(4), SCHED.BATCH);
    assert.equal(await d.ok(NR.sched_setattr, 0, attr, 0), 0);
    assert.equal((await d.call(NR.sched_setattr, 0, 0, 0)).result, error("EINVAL"));
    const class3 = (3 << 13) | 0;
    assert.equal(await d.ok(NR.ioprio_set, 1, 0, class3), 0);
    assert.equal(await d.ok(NR.ioprio_get, 1, 0), class3);
    const pidfd = await d.ok(NR.pidfd_open, d.pid, 0);
    assert.equal(await d.ok(NR.pidfd_send_signal, pidfd, 0, 0, 0), 0);
    assert.ok((await d.ok(NR.pidfd_getfd, pidfd, 0, 0)) > pidfd);
    assert.equal((await d.call(NR.pidfd_open, 0, 0)).result, error("EINVAL"));
    assert.ok(existsSync(`/proc/${d.pid}`));
  });
});
