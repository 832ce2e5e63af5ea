import assert from "node:assert/strict";
import { test } from "node:test";
import { exists, parseMaps, readLimits, readMaps, readStatus, readVmFlags, Stat, statusField } from "./proc.ts";
import { decodeWait, isEnd } from "./wait-status.ts";

test("mappings with awkward names", () => {
  const [a, b, c, d, e, ...more] = parseMaps(
    [
      "00400000-00401000 r-xp 00001000 fd:01 1234                       /tmp/a file (deleted)  with  spaces",
      "7f0000000000-7f0000001000 rw-s 00000000 00:05 99 /dev/shm/x\\012y (deleted)",
      "7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0                          [stack]",
      "10000-11000 ---p 00000000 00:00 0 ",
      "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]",
      "",
      "garbage",
    ].join("\n"),
  );
  assert.deepEqual(a, {
    start: 0x400000n,
    end: 0x401000n,
    prot: 5,
    shared: false,
    offset: 0x1000n,
    dev: "fd:01",
    inode: 1234n,
    name: "/tmp/a file (deleted)  with  spaces",
  });
  assert.deepEqual([b?.shared, b?.prot, b?.name], [true, 3, "/dev/shm/x\\012y (deleted)"]);
  assert.equal(c?.name, "[stack]");
  assert.deepEqual([d?.prot, d?.name], [0, ""]);
  assert.equal(e?.end, 0xffff_ffff_ff60_1000n);
  assert.deepEqual(more, []);
});

test("names cannot pass themselves off as fields", () => {
  const rest = "R 1 5 6 7 8 9 10 11 12 13 14 15 16 17 18 -20 1 21 4242 23 77";
  for (const comm of ["sh", "a b", ") Z 1 (", "))) S 1", "", "new\nline", "(("]) {
    const stat = new Stat(`4711 (${comm}) ${rest}\n`);
    assert.equal(stat.comm, comm);
    assert.deepEqual([stat.state, stat.ppid, stat.nice, stat.threads, stat.startTime, stat.rssPages], ["R", 1, -20, 1, 4242n, 77]);
    assert.equal(stat.cpuTicks, 14 + 15);
  }
});

test("this process reads as it is", () => {
  const status = readStatus(process.pid);
  assert.equal(statusField(status, "Pid"), String(process.pid));
  assert.equal(statusField(status, "NoSuchField"), undefined);
  assert.ok(exists(process.pid));
  assert.ok(!exists(2 ** 22 + 1));
  assert.ok(readMaps(process.pid).some((l) => l.name === "[stack]"));
  const files = readLimits(process.pid).get("Max open files");
  assert.ok(files && files[0] > 0n && files[0] <= files[1]);
  assert.equal(readLimits(process.pid).size, 16, "all limits of getrlimit(2)");
});

test("wait statuses are decoded", () => {
  const table: readonly (readonly [number, unknown, boolean])[] = [
    [0x0000, { kind: "exited", code: 0 }, true],
    [0xff00, { kind: "exited", code: 255 }, true],
    [0x0009, { kind: "killed", signal: 9, core: false }, true],
    [0x008b, { kind: "killed", signal: 11, core: true }, true],
    [0x0040, { kind: "killed", signal: 64, core: false }, true],
    [0x137f, { kind: "signal", signal: 19 }, false],
    [0x407f, { kind: "signal", signal: 64 }, false],
    [0x057f, { kind: "signal", signal: 5 }, false],
    [0x857f, { kind: "syscall" }, false],
    [0x07057f, { kind: "event", event: 7, signal: 5 }, false],
    [0x80057f, { kind: "event", event: 128, signal: 5 }, false],
    [0x80137f, { kind: "event", event: 128, signal: 19 }, false],
    [0x04057f, { kind: "event", event: 4, signal: 5 }, false],
  ];
  for (const [status, want, end] of table) {
    const got = decodeWait(status);
    assert.deepEqual(got, want, status.toString(16));
    assert.equal(isEnd(got), end);
  }
});

test("each area has its flags, whatever its file is called", () => {
  const flags = readVmFlags(process.pid);
  const writable = readMaps(process.pid).filter((l) => flags.has(l.start));
  assert.ok(writable.length > 20);
  for (const { start, prot, name } of writable) {
    const its = flags.get(start) ?? [];
    // What is mapped anew between the two readings may differ: not what has a name.
    if (!name.startsWith("/")) continue;
    assert.deepEqual([its.includes("rd"), its.includes("wr"), its.includes("ex")], [(prot & 1) !== 0, (prot & 2) !== 0, (prot & 4) !== 0]);
  }
});
