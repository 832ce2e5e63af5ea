import assert from "node:assert/strict";
import { test } from "node:test";
import { NR } from "../abi/mod.ts";
import { type GuestMemory, planCall } from "../forward/mod.ts";
import { Ahead } from "./ahead.ts";
import { lookupOf, MAX_LOOKUPS, packLookups, unpackLookups } from "./lookups.ts";

const [ENOENT, EINVAL] = [2, 22];
const BASE = 0x2000_0000_8000n;
const PATH_AT = 0x10000n;
const AREA = { base: BASE, size: 1 << 20 };
const CONTEXT = { pid: 1, tid: 1, reservedFds: [] };

function memoryWith(path: string): GuestMemory {
  const bytes = Buffer.from(`${path}\0`);
  return {
    read: () => bytes,
    readUpTo: (address, length) => (address === PATH_AT ? bytes.subarray(0, length) : Buffer.alloc(0)),
    write: () => {},
  };
}

const readlink = [PATH_AT, 0x20000n, 100n];

/** A guest with an engine, and a home where all names are those of files. */
class Rig {
  clock = 1000;
  readonly asker = { sharesMemory: false, heard: 0 };
  readonly ahead = new Ahead(this.asker, () => this.clock);

  look(path: string): "here" | "home" {
    const plan = this.ahead.known(NR.readlink, planCall(NR.readlink, readlink, memoryWith(path), AREA, CONTEXT), BASE);
    if (plan.kind === "answer") {
      assert.equal(plan.result, BigInt(-EINVAL));
      return "here";
    }
    assert.ok(plan.kind === "forward");
    const question = this.ahead.ask(plan);
    this.asker.heard++;
    if (question) {
      const asked = unpackLookups(question.packed?.bytes ?? packLookups([]));
      assert.ok(asked);
      this.ahead.answered(question, BigInt(-EINVAL), Buffer.from(asked.map(() => EINVAL)));
    }
    return "home";
  }
}

function learned(...names: string[]): Rig {
  const it = new Rig();
  for (let i = 0; i < 2; i++) for (const name of names) it.look(name);
  assert.equal(it.look("/x"), "home");
  return it;
}

test("what failed before is answered once home was asked again", () => {
  const it = new Rig();
  assert.deepEqual(
    ["/a", "/b", "/a", "/b", "/a", "/b", "/c", "/a", "/b"].map((p) => it.look(p)),
    ["home", "home", "home", "home", "here", "home", "home", "here", "here"],
  );
});

test("an answer is not older than one that was used before", () => {
  const it = learned("/a", "/b");
  assert.deepEqual([it.look("/b"), it.look("/b"), it.look("/a")], ["here", "here", "home"]);
});

test("an answer is worth nothing once the process has heard anything else", () => {
  const it = learned("/a", "/b");
  it.asker.heard++;
  assert.equal(it.look("/a"), "home");
  assert.equal(it.look("/b"), "here");
  it.asker.heard++;
  assert.equal(it.look("/b"), "home");
});

test("... nor when that came between question and answer", () => {
  for (const meanwhile of [1, 0]) {
    const it = learned("/a", "/b");
    const plan = planCall(NR.readlink, readlink, memoryWith("/y"), AREA, CONTEXT);
    it.ahead.known(NR.readlink, plan, BASE);
    assert.ok(plan.kind === "forward");
    const question = it.ahead.ask(plan);
    assert.ok(question?.packed);
    it.asker.heard += 1 + meanwhile;
    it.ahead.answered(question, BigInt(-ENOENT), Buffer.from([...question.packed.places].map(() => EINVAL)));
    assert.equal(it.look("/a"), meanwhile ? "home" : "here");
  }
});

test("... nor after a while, nor while others have the same memory", () => {
  const late = learned("/a", "/b");
  late.clock += 21;
  assert.equal(late.look("/b"), "home");
  const slow = learned("/a", "/b");
  slow.asker.sharesMemory = true;
  assert.equal(slow.look("/a"), "home");
  slow.asker.sharesMemory = false;
  assert.equal(slow.look("/b"), "home");
});

test("an answer of another length than the question is none", () => {
  const it = learned("/a", "/b");
  const plan = planCall(NR.readlink, readlink, memoryWith("/y"), AREA, CONTEXT);
  it.ahead.known(NR.readlink, plan, BASE);
  assert.ok(plan.kind === "forward");
  const question = it.ahead.ask(plan);
  assert.ok(question);
  it.asker.heard++;
  it.ahead.answered(question, BigInt(-ENOENT), Buffer.from([EINVAL]));
  assert.equal(it.look("/a"), "home");
});

test("what is not looked up any more is not asked for", () => {
  const it = learned("/a", "/b");
  it.clock += 2000;
  it.look("/c");
  it.look("/c");
  assert.equal(it.look("/d"), "home");
  assert.equal(it.look("/a"), "home");
});

test("what finds nothing is asked rarely", () => {
  const it = learned("/a", "/b");
  let asked = 0;
  for (let i = 0; i < 500; i++) {
    const plan = planCall(NR.readlink, readlink, memoryWith(`/new${i}`), AREA, CONTEXT);
    it.ahead.known(NR.readlink, plan, BASE);
    assert.ok(plan.kind === "forward");
    const question = it.ahead.ask(plan);
    if (question?.packed) asked++;
    it.asker.heard++;
    if (question) it.ahead.answered(question, BigInt(-ENOENT), Buffer.alloc(question.packed?.places.size ?? 0));
  }
  assert.ok(asked > 0 && asked < 100, `${asked} questions`);
});

test("only what a path alone decides is asked for", () => {
  const of = (nr: number, args: bigint[], path = "/a"): string | null =>
    lookupOf(nr, planCall(nr, args, memoryWith(path), AREA, CONTEXT), BASE)?.key ?? null;
  const [cwd, at] = [BigInt.asUintN(64, -100n), 0x20000n];
  // The same to the kernel.
  assert.equal(of(NR.readlink, readlink), of(NR.readlinkat, [cwd, ...readlink]));
  assert.equal(of(NR.stat, [PATH_AT, at]), of(NR.newfstatat, [cwd, PATH_AT, at, 0n]));
  assert.equal(of(NR.lstat, [PATH_AT, at]), of(NR.newfstatat, [cwd, PATH_AT, at, 0x100n]));
  assert.equal(of(NR.access, [PATH_AT, 4n]), of(NR.faccessat, [cwd, PATH_AT, 4n]));
  // Not the same.
  const all = [
    of(NR.readlink, readlink),
    of(NR.stat, [PATH_AT, at]),
    of(NR.lstat, [PATH_AT, at]),
    of(NR.newfstatat, [5n, PATH_AT, at, 0n]),
    of(NR.access, [PATH_AT, 4n]),
    of(NR.access, [PATH_AT, 2n]),
    of(NR.faccessat2, [cwd, PATH_AT, 4n, 0x200n]),
    of(NR.statx, [cwd, PATH_AT, 0n, 1n, at]),
    of(NR.statx, [cwd, PATH_AT, 0n, 2n, at]),
    of(NR.stat, [PATH_AT, at], "/b"),
  ];
  assert.ok(all.every((key) => key !== null));
  assert.equal(new Set(all).size, all.length);
  // Never.
  assert.equal(of(NR.readlink, [PATH_AT, at, 0n]), null, "the kernel looks at the size first");
  assert.equal(of(NR.readlink, [8n, at, 100n]), null, "no path at all");
  assert.equal(of(NR.readlink, [0n, at, 100n]), null);
  assert.equal(of(NR.stat, [PATH_AT, at], ""), null, "an empty one");
  assert.equal(of(NR.stat, [PATH_AT, at], "/".padEnd(300, "a")), null, "a long one");
  assert.equal(of(NR.openat, [cwd, PATH_AT, 0n, 0n]), null, "it takes a descriptor");
  assert.equal(of(NR.unlink, [PATH_AT]), null);
});

test("a question comes out as it went in, and garbage is none", () => {
  const list = ["/a", "/b/c", "d"].flatMap((p) => {
    const plan = planCall(NR.statx, [7n, PATH_AT, 0x100n, 0xfffn, 0x20000n], memoryWith(p), AREA, CONTEXT);
    return lookupOf(NR.statx, plan, BASE) ?? [];
  });
  const bytes = packLookups(list);
  const got = unpackLookups(bytes);
  assert.deepEqual(
    got?.map((l) => ({ ...l, path: l.path.toString() })),
    ["/a", "/b/c", "d"].map((p) => ({ nr: NR.statx, dirfd: 7, flags: 0x100, more: 0xfff, path: `${p}\0` })),
  );
  for (let n = 0; n < bytes.length; n++) assert.equal(unpackLookups(bytes.subarray(0, n)), null, `${n} bytes`);
  const wrong = Buffer.from(bytes);
  wrong.writeUInt16LE(NR.unlink, 0);
  assert.equal(unpackLookups(wrong), null, "another call");
  const many = Array.from({ length: MAX_LOOKUPS + 1 }, () => list[0]).flatMap((l) => l ?? []);
  assert.equal(unpackLookups(packLookups(many)), null);
});
