import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { AT, CLOCK, ERRNO, MADV, MAP, NR, PR, SCHED, SYSCALL_END, SYSCALLS, TASK_SIZE } from "../abi/mod.ts";
import { splitRange } from "./descriptors.ts";
import {
  BAD_ADDRESS,
  type CallContext,
  type DeputyArea,
  isNative,
  isOwnView,
  MIN_AREA,
  NEVER_OPEN,
  outLengths,
  type Plan,
  planCall,
} from "./mod.ts";
import { FakeMemory } from "./testdata/fake-memory.ts";

const area: DeputyArea = { base: 0x10_0000n, size: MIN_AREA };
const ctx: CallContext = { pid: 4711, tid: 4712, reservedFds: [1022, 1023] };
const mem = new FakeMemory();
const plan = (nr: number, ...args: (number | bigint)[]): Plan =>
  planCall(
    nr,
    Array.from({ length: 6 }, (_, i) => BigInt.asUintN(64, BigInt(args[i] ?? 0))),
    mem,
    area,
    ctx,
  );
const kindOf = (p: Plan): string => (p.kind === "back" ? `back ${p.reason}` : p.kind === "engine" ? `engine ${p.name}` : p.kind);

describe("routes", () => {
  const path = (text: string): bigint => mem.string(text);
  const cases: [string, Plan, string][] = [
    ["getpid", plan(NR.getpid), "local"],
    ["getppid", plan(NR.getppid), "forward"],
    ["futex", plan(NR.futex), "local"],
    ["anonymous mmap", plan(NR.mmap, 0, 4096, 3, MAP.PRIVATE | MAP.ANONYMOUS | MAP.STACK, -1, 0), "local"],
    ["shared anonymous mmap", plan(NR.mmap, 0, 4096, 3, MAP.SHARED | MAP.ANONYMOUS, -1, 0), "back shared_memory"],
    ["file mmap", plan(NR.mmap, 0, 4096, 3, MAP.PRIVATE, 3, 0), "engine mmap_file"],
    ["huge page mmap", plan(NR.mmap, 0, 4096, 3, MAP.PRIVATE | MAP.ANONYMOUS | MAP.HUGETLB, -1, 0), "back hugetlb"],
    ["locked mmap", plan(NR.mmap, 0, 4096, 3, MAP.PRIVATE | MAP.ANONYMOUS | MAP.LOCKED, -1, 0), "back mlock"],
    ["advice for huge pages", plan(NR.madvise, 0x1000, 4096, MADV.HUGEPAGE), "local"],
    ["advice to discard", plan(NR.madvise, 0x1000, 4096, MADV.DONTNEED), "local"],
    ["unknown advice", plan(NR.madvise, 0x1000, 4096, 99), "back madvise: 99"],
    ["time of day", plan(NR.clock_gettime, CLOCK.MONOTONIC, 0x1000), "local"],
    ["own CPU time", plan(NR.clock_gettime, CLOCK.THREAD_CPUTIME_ID, 0x1000), "engine clock_gettime"],
    ["own CPU time by number", plan(NR.clock_gettime, (~4711 << 3) | 2, 0x1000), "engine clock_gettime"],
    ["another's CPU time", plan(NR.clock_gettime, (~99 << 3) | 2, 0x7000_0000_0000n), "forward"],
    ["sleeping on CPU time", plan(NR.clock_nanosleep, CLOCK.PROCESS_CPUTIME_ID, 0, 0, 0), "back cpu_clock"],
    ["signal to itself", plan(NR.kill, 4711, 15), "engine kill"],
    ["question to itself", plan(NR.kill, 4711, 0), "forward"],
    ["signal to another", plan(NR.kill, 1, 15), "forward"],
    ["raise", plan(NR.tgkill, 4711, 4712, 6), "engine tgkill"],
    ["thread register", plan(NR.arch_prctl, 0x1002, 0), "local"],
    ["shadow stack", plan(NR.arch_prctl, 0x5001, 1), "back arch_prctl: 0x5001"],
    ["name of an area", plan(NR.prctl, PR.SET_VMA), "local"],
    ["io_uring", plan(NR.io_uring_setup), "back io_uring"],
    ["shmat", plan(NR.shmat), "back sysv_shm"],
    ["own realtime", plan(NR.sched_setscheduler, 0, SCHED.FIFO, 0), "back realtime"],
    ["another's realtime", plan(NR.sched_setscheduler, 99, SCHED.FIFO, 0), "forward"],
    ["own maps", plan(NR.openat, AT.FDCWD, path("/proc/self/maps"), 0), "forward"],
    ["own memory", plan(NR.openat, AT.FDCWD, path("/proc/self/mem"), 0), "back own_view"],
    ["own maps as a thread", plan(NR.openat, AT.FDCWD, path("/proc/self/task/4712/maps"), 0), "forward"],
    ["own status as a thread", plan(NR.openat, AT.FDCWD, path("/proc/thread-self/status"), 0), "forward"],
    ["own statistics as a thread", plan(NR.openat, AT.FDCWD, path("/proc/thread-self/smaps"), 0), "back own_view"],
    ["own fd", plan(NR.open, path("/proc/self/fd/3"), 0), "forward"],
    ["another's maps", plan(NR.open, path("/proc/1/maps"), 0), "forward"],
    ["dup2 onto the deputy's", plan(NR.dup2, 3, 1023), "back descriptor_taken"],
    ["close of the deputy's", plan(NR.close, 1023), "answer"],
    ["clone", plan(NR.clone), "engine clone"],
    ["unknown number", plan(SYSCALL_END + 40), `back unknown_call: syscall ${SYSCALL_END + 40}`],
    ["x32", plan(0x40000001), "back x32"],
    ["user namespace", plan(NR.unshare, 0x10000000), "forward"],
    ["time namespace", plan(NR.unshare, 0x80), "back time_namespace"],
    ["any namespace", plan(NR.setns, 5, 0), "forward"],
    ["its CPU limit", plan(NR.prlimit64, 0, 0, 0x1000), "back cpu_limit"],
    ["another's CPU limit", plan(NR.prlimit64, 99, 0, 0x1000), "forward"],
    ["its own memory by PID", plan(NR.process_vm_readv, 4711), "back process_vm"],
    ["a key's unknown operation", plan(NR.keyctl, 23), "back keyctl: 23"],
    ["memory of a segment", plan(NR.shmctl, 1, 2, 0x1000), "forward"],
    ["mount namespace", plan(NR.unshare, 0x20000), "forward"],
  ];
  for (const [name, got, wanted] of cases) test(name, () => assert.equal(kindOf(got), wanted));

  test("close of the deputy's descriptor says EBADF", () =>
    assert.deepEqual(plan(NR.close, 1022), { kind: "answer", result: BigInt(-ERRNO.EBADF) }));

  test("upper halves of int arguments do not matter", () => {
    assert.equal(kindOf(plan(NR.close, 0xffff_ffff_0000_03ffn)), "answer");
    assert.equal(kindOf(plan(NR.clock_gettime, 0xdead_beef_0000_0001n)), "local");
  });

  test("what is native agrees with what is planned", () => {
    for (const row of SYSCALLS) {
      const args = Array.from({ length: 6 }, () => 1n);
      if (isNative(row, args)) assert.equal(planCall(row.nr, args, mem, area, ctx).kind, "local", row.name);
    }
  });
});

describe("the process's own view of /proc", () => {
  const own = (text: string): boolean => isOwnView(Buffer.from(`${text}\0`), ctx);
  for (const text of [
    "/proc/self/maps",
    "/proc//self/./status",
    "/proc/4711/mem",
    "/proc/thread-self/stat",
    "/proc/self/task/4712/stat",
    "/proc/4712/smaps",
    "/sys/../proc/self/maps",
    "/proc/1/../self/stat",
  ]) {
    test(`${text} is`, () => assert.ok(own(text)));
  }
  for (const text of [
    "/proc/self/fd/1",
    "/proc/self/mountinfo",
    "/proc/cpuinfo",
    "/proc/1/maps",
    "/proc",
    "/etc/passwd",
    "proc/self/maps",
    "",
    "/",
    "/proc/self/exe",
    "/proc/self",
    "/proc/self/task",
    "/proc/self/task/4712",
    "/proc/self/task/4712/comm",
    "/proc/self/task/4712/children",
  ]) {
    test(`${text || "nothing"} is not`, () => assert.ok(!own(text)));
  }
});

describe("close_range", () => {
  test("leaves the reserved ones out", () => {
    assert.deepEqual(splitRange(3, 1100, [1023, 1022]), [
      [3, 1021],
      [1024, 1100],
    ]);
    assert.deepEqual(splitRange(1022, 1023, [1022, 1023]), []);
    assert.deepEqual(splitRange(0, 10, [1022]), [[0, 10]]);
    assert.deepEqual(splitRange(10, 3, []), []);
  });

  test("covers every other number exactly once", () => {
    const fd = fc.integer({ min: 0, max: 60 });
    fc.assert(
      fc.property(fd, fd, fc.uniqueArray(fd), (first, last, reserved) => {
        const covered = splitRange(first, last, reserved).flatMap(([a, b]) => Array.from({ length: b - a + 1 }, (_, i) => a + i));
        const wanted = Array.from({ length: 61 }, (_, i) => i).filter((i) => i >= first && i <= last && !reserved.includes(i));
        assert.deepEqual(covered, wanted);
      }),
    );
  });
});

describe("ranges that travel back", () => {
  const outs = [
    { offset: 0, length: 4 },
    { offset: 8, length: 6, limit: "return" as const, unit: 2 },
    { offset: 16, length: 6, limit: "return" as const, unit: 2 },
    { offset: 24, length: 3, onError: true },
  ];
  test("are cut by the result", () => {
    assert.deepEqual(outLengths(outs, 4n), [4, 6, 2, 3]);
    assert.deepEqual(outLengths(outs, 0n), [4, 0, 0, 3]);
    assert.deepEqual(outLengths(outs, 100n), [4, 6, 6, 3]);
    assert.deepEqual(outLengths(outs, -4n), [0, 0, 0, 3]);
  });
});

describe("every call, with anything as arguments", () => {
  // Addresses of the program, so far up that they cannot be mistaken for the deputy's.
  const readable = mem.map(Buffer.alloc(300_000, 0x41));
  const zeros = mem.map(70_000);
  const pointers = Buffer.alloc(4096);
  for (let at = 0; at < pointers.length; at += 16) {
    pointers.writeBigUInt64LE(readable + BigInt(at), at);
    pointers.writeBigUInt64LE(BigInt(at), at + 8);
  }
  const structures = mem.map(pointers);
  const word = fc.oneof(
    fc.constantFrom(
      0n,
      1n,
      2n,
      3n,
      8n,
      16n,
      24n,
      1023n,
      1024n,
      4096n,
      65_537n,
      1_000_000n,
      0x7fff_ffffn,
      0xffff_ffffn,
      0xffff_ffff_ffff_ffffn,
      0x8000_0000_0000_0000n,
      TASK_SIZE - 1n,
    ),
    fc.constantFrom(readable, readable + 299_990n, zeros, zeros + 69_999n, structures, structures + 16n, 0x6000_0000_0000n),
    fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
  );
  const isProgramAddress = (v: bigint): boolean => v >= 0x6000_0000_0000n && v < TASK_SIZE;

  for (const row of SYSCALLS) {
    const pointerArgs = row.args.flatMap((a, i) => (["path", "string", "in", "out", "inout", "sized", "page"].includes(a.kind) ? [i] : []));
    test(row.name, () => {
      fc.assert(
        fc.property(fc.array(word, { minLength: 6, maxLength: 6 }), (args) => {
          const before = [...args];
          const p = planCall(row.nr, args, mem, area, ctx);
          assert.deepEqual(args, before, "the caller's arguments are untouched");
          if (p.kind !== "forward") return;
          assert.equal(p.args.length, 6);
          assert.ok(p.blob.length <= area.size);
          for (const o of p.outs)
            assert.ok(o.offset >= 0 && o.length >= 0 && o.offset + o.length <= area.size, `out at ${o.offset}+${o.length}`);
          for (const i of pointerArgs) {
            const v = p.args[i] ?? 0n;
            const inArea = v >= area.base && v <= area.base + BigInt(area.size);
            assert.ok(
              v === 0n || v === BAD_ADDRESS || inArea || !isProgramAddress(v) || p.nr !== row.nr,
              `argument ${i} is 0x${v.toString(16)}`,
            );
          }
          row.args.forEach((a, i) => {
            if (a.kind === "fd" && p.nr === row.nr)
              assert.ok(!ctx.reservedFds.includes(Number(BigInt.asIntN(32, p.args[i] ?? 0n))), `argument ${i}`);
          });
        }),
        { numRuns: 60 },
      );
    });
  }

  test("no pointer of the program reaches the deputy, not even inside what is sent", () => {
    const withPointers = ["readv", "writev", "preadv2", "sendmsg", "recvmsg", "sendmmsg", "recvmmsg"] as const;
    fc.assert(
      fc.property(fc.constantFrom(...withPointers), fc.nat(255), fc.nat(40), (name, at, count) => {
        const p = plan(NR[name], 3, structures + BigInt(at * 16), count, 0, 0, 0);
        if (p.kind !== "forward") return;
        const blob = Buffer.from(p.blob);
        for (let i = 0; i + 8 <= blob.length; i += 8) {
          const v = blob.readBigUInt64LE(i);
          assert.ok(v < 0x6000_0000_0000n || v >= TASK_SIZE || v === 0x4141_4141_4141_4141n, `${name}: 0x${v.toString(16)} at ${i}`);
        }
      }),
      { numRuns: 300 },
    );
  });
});

test("the never open descriptor is above what any kernel allows", () => assert.equal(NEVER_OPEN, 0x7fffffff));
