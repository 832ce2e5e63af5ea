/** Calls with commands of their own, keys, namespaces, attributes and other processes' memory, carried out for real by a deputy. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { after, describe, test } from "node:test";
import { AT, CLONE, ERRNO, IOVEC, IPC, NR, O, SHM, SHMID_DS, SHM_INFO, SHMINFO, XATTR_ARGS } from "../abi/mod.ts";
import { type Deputy, noCompiler, Workshop } from "./testdata/deputy.ts";

const EFAULT = BigInt(-ERRNO.EFAULT);
const EINVAL = BigInt(-ERRNO.EINVAL);
const ENOSYS = BigInt(-ERRNO.ENOSYS);
const E2BIG = BigInt(-ERRNO.E2BIG);
const NOWHERE = 0x7777_0000_0000n;

describe("commands through a deputy", { skip: noCompiler }, () => {
  const shop = noCompiler ? null : new Workshop();
  after(() => shop?.close());
  const workshop = (): Workshop => shop as Workshop;
  const fresh = (): Deputy => workshop().deputy();

  test("keys", async (t) => {
    const d = fresh();
    const THREAD_KEYRING = -1;
    const [type, name] = [d.mem.string("user"), d.mem.string("tesela:test")];
    const added = await d.call(NR.add_key, type, name, d.mem.map(Buffer.from("secret")), 6, THREAD_KEYRING);
    if (added.result === ENOSYS) return t.skip("this kernel has no keys");
    const key = Number(added.result);
    assert.ok(key > 0, String(added.result));
    const into = d.mem.map(Buffer.alloc(64, 0x55));
    assert.equal(await d.ok(NR.keyctl, 11, key, into, 64), 6);
    assert.equal(d.mem.read(into, 8).toString(), "secretUU", "and nothing behind it");
    d.mem.write(into, Buffer.alloc(64, 0x55));
    assert.equal(await d.ok(NR.keyctl, 11, key, into, 3), 6, "how much there is");
    assert.equal(d.mem.read(into, 6).toString(), "UUUUUU", "too little room: nothing is written");
    const described = await d.ok(NR.keyctl, 6, key, into, 64);
    assert.match(d.mem.read(into, described).toString(), /^user;\d+;\d+;[0-9a-f]+;tesela:test\0$/);
    assert.equal(await d.ok(NR.keyctl, 10, THREAD_KEYRING, type, name, 0), key);
    assert.equal((await d.call(NR.keyctl, 2, key, NOWHERE, 5)).result, EFAULT);
    assert.equal((await d.call(NR.keyctl, 2, key, into, 5000)).result, EINVAL);
    await d.ok(NR.keyctl, 2, key, d.mem.map(Buffer.from("other")), 5);
    assert.equal(await d.ok(NR.keyctl, 11, key, into, 64), 5);
    assert.equal((await d.call(NR.request_key, type, d.mem.string("no such"), 0, 0)).result, BigInt(-ERRNO.ENOKEY));
    await d.ok(NR.keyctl, 3, key);
    assert.equal((await d.call(NR.keyctl, 11, key, into, 64)).result, BigInt(-ERRNO.EKEYREVOKED));
    await assert.rejects(d.call(NR.keyctl, 23, into, into, 64, 0), /keyctl: 23/);
    return undefined;
  });

  test("segments of shared memory, as long as they are not attached", async () => {
    const d = fresh();
    const id = await d.ok(NR.shmget, 0, 10_000, 0o600 | IPC.CREAT);
    const about = d.mem.map(SHMID_DS.size);
    await d.ok(NR.shmctl, id, SHM.STAT, about);
    assert.equal(d.mem.read(about, SHMID_DS.size).readBigUInt64LE(SHMID_DS.at.shm_segsz), 10_000n);
    assert.equal(d.mem.read(about, SHMID_DS.size).readInt32LE(SHMID_DS.at.shm_cpid), d.pid);
    await d.ok(NR.shmctl, id, SHM.SET, about);
    const limits = d.mem.map(SHMINFO.size);
    await d.ok(NR.shmctl, 0, SHM.IPC_INFO, limits);
    assert.ok(d.mem.read(limits, 8).readBigUInt64LE(0) > 0n);
    const totals = d.mem.map(SHM_INFO.size);
    await d.ok(NR.shmctl, 0, SHM.SHM_INFO, totals);
    assert.ok(d.mem.read(totals, 4).readInt32LE(0) >= 1);
    assert.equal((await d.call(NR.shmctl, id, SHM.STAT, NOWHERE)).result, EFAULT);
    await d.ok(NR.shmctl, id, SHM.RMID, 0);
    await assert.rejects(d.call(NR.shmat, id, 0, 0), /sysv_shm/);
    await assert.rejects(d.call(NR.shmctl, id, 77, 0), /shmctl: 77/);
  });

  test("attributes by structure", async (t) => {
    const d = fresh();
    writeFileSync(workshop().path("attributed"), "x");
    const [file, name] = [d.mem.string("attributed"), d.mem.string("user.tesela")];
    const value = d.mem.map(Buffer.from("a value"));
    const args = (at: bigint, size: number): bigint => {
      const b = Buffer.alloc(XATTR_ARGS.size);
      b.writeBigUInt64LE(at, XATTR_ARGS.at.value);
      b.writeUInt32LE(size, XATTR_ARGS.at.size);
      return d.mem.map(b);
    };
    const set = await d.call(NR.setxattrat, AT.FDCWD, file, 0, name, args(value, 7), XATTR_ARGS.size);
    if (set.result === ENOSYS || set.result === BigInt(-ERRNO.EOPNOTSUPP)) return t.skip(`not here: ${set.result}`);
    assert.equal(set.result, 0n);
    const into = d.mem.map(Buffer.alloc(16, 0x55));
    assert.equal(await d.ok(NR.getxattrat, AT.FDCWD, file, 0, name, args(into, 16), XATTR_ARGS.size), 7);
    assert.equal(d.mem.read(into, 9).toString(), "a valueUU");
    assert.equal(await d.ok(NR.getxattrat, AT.FDCWD, file, 0, name, args(0n, 0), XATTR_ARGS.size), 7);
    assert.equal((await d.call(NR.getxattrat, AT.FDCWD, file, 0, name, args(into, 3), XATTR_ARGS.size)).result, BigInt(-ERRNO.ERANGE));
    assert.equal((await d.call(NR.getxattrat, AT.FDCWD, file, 0, name, args(NOWHERE, 16), XATTR_ARGS.size)).result, EFAULT);
    assert.equal((await d.call(NR.setxattrat, AT.FDCWD, file, 0, name, args(value, 7), 3)).result, EINVAL);
    assert.equal((await d.call(NR.setxattrat, AT.FDCWD, file, 0, name, args(value, 70_000), XATTR_ARGS.size)).result, E2BIG);
    return undefined;
  });

  test("security modules", async (t) => {
    const d = fresh();
    const [ids, size] = [d.mem.map(512), d.mem.map(Buffer.from([0, 2, 0, 0]))];
    const count = await d.call(NR.lsm_list_modules, ids, size, 0);
    if (count.result === ENOSYS) return t.skip("this kernel does not list them");
    assert.equal(d.mem.read(size, 4).readUInt32LE(0), Number(count.result) * 8);
    d.mem.write(size, Buffer.alloc(4));
    if (count.result > 0n) {
      assert.equal((await d.call(NR.lsm_list_modules, ids, size, 0)).result, E2BIG);
      assert.equal(d.mem.read(size, 4).readUInt32LE(0), Number(count.result) * 8, "the size that is needed");
    }
    assert.equal((await d.call(NR.lsm_list_modules, ids, NOWHERE, 0)).result, EFAULT);
    const own = await d.call(NR.lsm_get_self_attr, 100, ids, size, 0);
    assert.ok(own.result < 0n || own.result <= 8n);
    return undefined;
  });

  test("where memory comes from", async (t) => {
    const d = fresh();
    const [mode, nodes] = [d.mem.map(Buffer.alloc(4, 0x55)), d.mem.map(Buffer.alloc(16, 0x55))];
    const first = await d.call(NR.get_mempolicy, mode, nodes, 1024, 0, 0);
    if (first.result === ENOSYS) return t.skip("this kernel knows no nodes");
    const room = d.mem.map(128);
    await d.ok(NR.get_mempolicy, mode, room, 1025, 0, 0);
    assert.equal(d.mem.read(mode, 4).readInt32LE(0), 0);
    const PREFERRED = 1;
    await d.ok(NR.set_mempolicy, PREFERRED, d.mem.map(Buffer.from([1, 0, 0, 0, 0, 0, 0, 0])), 64);
    await d.ok(NR.get_mempolicy, mode, room, 1025, 0, 0);
    assert.equal(d.mem.read(mode, 4).readInt32LE(0), PREFERRED);
    assert.equal(d.mem.read(room, 8).readBigUInt64LE(0), 1n);
    assert.equal((await d.call(NR.set_mempolicy, PREFERRED, NOWHERE, 64)).result, EFAULT);
    await d.ok(NR.set_mempolicy, 0, 0, 0);
    await assert.rejects(d.call(NR.get_mempolicy, mode, 0, 0, mode, 2), /numa/);
    return undefined;
  });

  test("another's memory", async (t) => {
    const [d, other] = [fresh(), fresh()];
    const vector = (...pieces: [bigint, number][]): bigint => {
      const raw = Buffer.alloc(pieces.length * IOVEC.size);
      pieces.forEach(([at, length], i) => {
        raw.writeBigUInt64LE(at, i * IOVEC.size);
        raw.writeBigUInt64LE(BigInt(length), i * IOVEC.size + 8);
      });
      return d.mem.map(raw);
    };
    await other.ok(NR.getppid); // Its buffer is there.
    const text = d.mem.map(Buffer.from("hello, you"));
    const there = other.area.base;
    const written = await d.call(NR.process_vm_writev, other.pid, vector([text, 5], [text + 5n, 5]), 2, vector([there, 10]), 1, 0);
    if (written.result === BigInt(-ERRNO.EPERM)) return t.skip("not permitted here");
    assert.equal(written.result, 10n);
    const into = d.mem.map(20);
    assert.equal(
      await d.ok(NR.process_vm_readv, other.pid, vector([into, 4], [into + 10n, 6]), 2, vector([there, 3], [there + 3n, 7]), 2, 0),
      10,
    );
    assert.equal(d.mem.read(into, 4).toString(), "hell");
    assert.equal(d.mem.read(into + 10n, 6).toString(), "o, you");
    assert.equal((await d.call(NR.process_vm_readv, other.pid, vector([into, 4]), 1, vector([0x1000n, 4]), 1, 0)).result, EFAULT);
    assert.equal(
      (await d.call(NR.process_vm_readv, 0x3fff_fff0, vector([into, 4]), 1, vector([there, 4]), 1, 0)).result,
      BigInt(-ERRNO.ESRCH),
    );
    await assert.rejects(d.call(NR.process_vm_readv, d.pid, vector([into, 4]), 1, vector([into, 4]), 1, 0), /process_vm/);
    return undefined;
  });

  test("what two processes share", async () => {
    const d = fresh();
    assert.equal(await d.ok(NR.kcmp, d.pid, d.pid, 1, 0, 0), 0);
    const epoll = await d.ok(NR.epoll_create1, 0);
    const pair = d.mem.map(8);
    await d.ok(NR.pipe2, pair, 0);
    const reading = d.mem.read(pair, 4).readInt32LE(0);
    await d.ok(NR.epoll_ctl, epoll, 1, reading, d.mem.map(Buffer.from([1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])));
    const slot = Buffer.alloc(12);
    slot.writeUInt32LE(epoll, 0);
    slot.writeUInt32LE(reading, 4);
    assert.equal((await d.call(NR.kcmp, d.pid, d.pid, 7, reading, d.mem.map(slot))).result, 0n);
    assert.equal((await d.call(NR.kcmp, d.pid, d.pid, 7, reading, NOWHERE)).result, EFAULT);
  });

  test("namespaces", async (t) => {
    const d = fresh();
    const before = await d.ok(NR.open, d.mem.string(`/proc/${process.pid}/ns/uts`), O.RDONLY, 0);
    const alone = await d.call(NR.unshare, CLONE.NEWUTS);
    if (alone.result === BigInt(-ERRNO.EPERM)) return t.skip("not permitted here");
    assert.equal(alone.result, 0n);
    await d.ok(NR.sethostname, d.mem.string("elsewhere"), 9);
    await d.ok(NR.setns, before, 0);
    await d.ok(NR.setns, before, CLONE.NEWUTS);
    assert.equal((await d.call(NR.setns, before, CLONE.NEWNET)).result, EINVAL);
    assert.equal((await d.call(NR.setns, 77, 0)).result, BigInt(-ERRNO.EBADF));
    assert.equal(await d.ok(NR.unshare, CLONE.NEWPID), 0);
    const time = await d.ok(NR.open, d.mem.string(`/proc/${process.pid}/ns/time`), O.RDONLY, 0);
    await assert.rejects(d.call(NR.setns, time, 0), /time_namespace/);
    const ids = d.mem.map(64);
    const request = Buffer.alloc(32);
    request.writeUInt32LE(32, 0);
    const listed = await d.call(NR.listns, d.mem.map(request), ids, 8, 0);
    assert.ok(listed.result === ENOSYS || listed.result >= 0n, String(listed.result));
    return undefined;
  });

  test("new kinds of mounts, and rules of landlock", async (t) => {
    const d = fresh();
    const fs = await d.call(NR.fsopen, d.mem.string("tmpfs"), 0);
    if (fs.result < 0n) return t.skip(`not here: ${fs.result}`);
    const [SET_STRING, CREATE] = [1, 6];
    await d.ok(NR.fsconfig, fs.result, SET_STRING, d.mem.string("size"), d.mem.string("1m"), 0);
    assert.equal((await d.call(NR.fsconfig, fs.result, SET_STRING, d.mem.string("no such"), d.mem.string("x"), 0)).result, EINVAL);
    assert.equal(
      (await d.call(NR.fsconfig, fs.result, SET_STRING, d.mem.map(Buffer.alloc(400, 0x41)), d.mem.string("x"), 0)).result,
      EINVAL,
    );
    await d.ok(NR.fsconfig, fs.result, CREATE, 0, 0, 0);
    assert.ok((await d.ok(NR.fsmount, fs.result, 0, 0)) > 0);
    await assert.rejects(d.call(NR.fsconfig, fs.result, 99, 0, 0, 0), /fsconfig: 99/);
    const handled = Buffer.alloc(16);
    handled.writeBigUInt64LE(4n, 0);
    const rules = await d.call(NR.landlock_create_ruleset, d.mem.map(handled), 8, 0);
    if (rules.result < 0n) return t.skip(`no landlock here: ${rules.result}`);
    const rule = Buffer.alloc(12);
    rule.writeBigUInt64LE(4n, 0);
    rule.writeInt32LE(await d.ok(NR.open, d.mem.string("/usr"), O.PATH, 0), 8);
    await d.ok(NR.landlock_add_rule, rules.result, 1, d.mem.map(rule), 0);
    assert.equal((await d.call(NR.landlock_add_rule, rules.result, 1, NOWHERE, 0)).result, EFAULT);
    return undefined;
  });

  test("answers shorter than the room", async () => {
    const d = fresh();
    const room = d.mem.map(Buffer.alloc(512, 0x55));
    assert.equal((await d.call(NR.sched_getattr, 0, room, 512, 0)).result, 0n);
    const size = d.mem.read(room, 4).readUInt32LE(0);
    assert.ok(size >= 48 && size < 500);
    // Newer kernels write zeros there.
    assert.ok([0, 0x55].includes(d.mem.read(room + BigInt(size), 1)[0] ?? -1));
    assert.ok((await d.call(NR.reboot, 1, 2, 3, 4)).result < 0n);
  });
});
