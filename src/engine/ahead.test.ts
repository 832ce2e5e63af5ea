import assert from "node:assert/strict";
import { test } from "node:test";
import { NR } from "../abi/mod.ts";
import { type GuestMemory, planCall } from "../forward/mod.ts";
import { Ahead } from "./ahead.ts";
import { lookupOf, MAX_LOOKUPS, packQuestion, unpackQuestion } from "./lookups.ts";

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

/** A home where all names are those of files, with so many descriptors for each process. */
const LIMIT = 16;
function answersOf(question: Buffer, error = EINVAL): Buffer {
  const asked = unpackQuestion(question);
  assert.ok(asked);
  const limit = Buffer.alloc(4);
  limit.writeUInt32LE(LIMIT);
  return question.length === 0 ? Buffer.alloc(0) : Buffer.concat([Buffer.alloc(asked.lookups.length, error), limit]);
}

/** A guest with an engine. */
class Rig {
  clock = 1000;
  /** Lookups that home was asked for with the last call. */
  asked: string[] = [];
  readonly asker = { sharesMemory: false, alone: true, heard: 0 };
  readonly ahead = new Ahead(this.asker, null, () => this.clock);

  call(nr: number, args: bigint[], path: string, result: bigint, meanwhile = 0): "home" | bigint {
    const memory = memoryWith(path);
    const plan = this.ahead.known(nr, planCall(nr, args, memory, AREA, CONTEXT), BASE, memory);
    if (plan.kind === "answer") return plan.result;
    assert.ok(plan.kind === "forward");
    const question = this.ahead.ask(plan);
    this.asker.heard += 1 + meanwhile;
    this.asked = question?.lookups.map((l) => l.path) ?? [];
    const bytes = question && question.bytes.length > 0 ? answersOf(question.bytes) : Buffer.alloc(0);
    this.ahead.answered(plan, question, result, bytes);
    return "home";
  }

  look(path: string, error = EINVAL, meanwhile = 0): "here" | "home" {
    const r = this.call(NR.readlink, readlink, path, BigInt(-error), meanwhile);
    if (r === "home") return "home";
    assert.equal(r, BigInt(-EINVAL));
    return "here";
  }

  open(path: string, result: bigint): "home" | bigint {
    return this.call(NR.open, [PATH_AT, 0n, 0n], path, result);
  }
  close(fd: number): void {
    this.call(NR.close, [BigInt(fd)], "", 0n);
  }
}

/** Has looked at these in turns for long enough. */
function learned(...names: string[]): Rig {
  const it = new Rig();
  for (let i = 0; i < 6; i++) {
    for (const name of names) {
      it.look(name);
      it.asker.heard++;
    }
  }
  return it;
}

test("what is looked up over and over is answered once home was asked ahead", () => {
  const it = new Rig();
  const seen = Array.from({ length: 12 }, () => ["/a", "/b"].map((p) => it.look(p)));
  assert.deepEqual(seen[0], ["home", "home"]);
  assert.deepEqual(seen.at(-1), ["here", "here"]);
});

test("answers are used in the order in which they were found", () => {
  const it = new Rig();
  for (let i = 0; i < 6; i++) {
    for (const name of ["/a", "/b", "/c"]) {
      it.look(name);
      it.asker.heard++;
    }
    it.open("/x", 4n);
  }
  assert.equal(it.look("/a"), "home");
  assert.deepEqual(it.asked, ["/b", "/c"]);
  assert.deepEqual([it.look("/c"), it.look("/c"), it.look("/b")], ["here", "here", "home"]);
});

test("an answer is worth nothing once the process has heard anything else", () => {
  const it = learned("/a", "/b");
  assert.equal(it.look("/a"), "home");
  it.asker.heard++;
  assert.equal(it.look("/b"), "home");
  assert.equal(it.look("/a"), "here");
  it.asker.heard++;
  assert.equal(it.look("/b"), "home");
});

test("... nor when that came between question and answer", () => {
  for (const meanwhile of [1, 0]) {
    const it = learned("/a", "/b");
    assert.equal(it.look("/a", EINVAL, meanwhile), "home");
    assert.ok(it.asked.length > 0);
    assert.equal(it.look("/b"), meanwhile ? "home" : "here");
  }
});

test("... nor after a while, nor while others have the same memory", () => {
  const late = learned("/a", "/b");
  assert.equal(late.look("/a"), "home");
  late.clock += 21;
  assert.equal(late.look("/b"), "home");
  const slow = learned("/a", "/b");
  assert.equal(slow.look("/a"), "home");
  slow.asker.sharesMemory = true;
  assert.equal(slow.look("/b"), "home");
});

test("an answer that is shorter than the question is none", () => {
  const it = learned("/a", "/b");
  const plan = planCall(NR.readlink, readlink, memoryWith("/a"), AREA, CONTEXT);
  it.ahead.known(NR.readlink, plan, BASE, memoryWith("/a"));
  assert.ok(plan.kind === "forward");
  const question = it.ahead.ask(plan);
  assert.ok(question && question.lookups.length > 0);
  it.asker.heard++;
  it.ahead.answered(plan, question, BigInt(-EINVAL), Buffer.from([EINVAL]));
  assert.equal(it.look("/b"), "home");
});

test("what is not looked up any more is not asked for", () => {
  const it = learned("/a", "/b");
  it.clock += 2000;
  assert.equal(it.look("/a"), "home");
  assert.deepEqual(it.asked, []);
});

test("what finds nothing is asked rarely", () => {
  const it = learned("/a", "/b");
  let asked = 0;
  for (let i = 0; i < 500; i++) {
    it.look(i % 3 ? "/b" : "/a");
    it.asker.heard++;
    if (it.asked.length > 0) asked++;
  }
  assert.ok(asked > 0 && asked < 100, `${asked} questions`);
});

test("a search goes on in the next directory with the name that is searched for", () => {
  const it = new Rig();
  const search = (name: string): string[] => {
    const homes: string[] = [];
    for (const dir of ["/a", "/b", "/c"]) {
      if (it.look(dir) === "home") homes.push(dir);
      const path = `${dir}/${name}`;
      if (it.call(NR.readlink, readlink, path, dir === "/c" ? BigInt(-EINVAL) : BigInt(-ENOENT)) === "home") homes.push(path);
    }
    assert.equal(it.open(`/c/${name}`, 4n), "home");
    it.close(4);
    return homes;
  };
  for (const name of ["p", "q", "r", "s", "t"]) search(name);
  assert.deepEqual(search("u"), ["/a/u"]);
});

test("an open finds nothing where a lookup has found nothing, if there is a descriptor for it", () => {
  const at = (fd: number): Rig => {
    const it = new Rig();
    it.open("/x", BigInt(fd));
    it.close(fd);
    assert.equal(it.look("/none", ENOENT), "home");
    return it;
  };
  assert.equal(at(3).open("/none", -2n), BigInt(-ENOENT));
  assert.equal(at(3).open("/none/in/it", -2n), BigInt(-ENOENT));
  assert.equal(at(3).open("/nonesuch", -2n), "home");
  assert.equal(at(LIMIT).open("/none", -2n), "home", "no descriptor");
  assert.equal(at(3).call(NR.open, [PATH_AT, 0o100n, 0n], "/none", 3n), "home", "it is made");
  assert.equal(at(3).call(NR.open, [PATH_AT, 0o400000n, 0n], "/none", -2n), "home", "another question");
  const heard = at(3);
  heard.asker.heard++;
  assert.equal(heard.open("/none", -2n), "home");
  const shared = at(3);
  shared.asker.alone = false;
  assert.equal(shared.open("/none", -2n), "home");
  const taken = new Rig();
  taken.close(3);
  taken.call(NR.dup, [0n], "", 3n);
  taken.look("/none", ENOENT);
  assert.equal(taken.open("/none", -2n), "home");
  const never = new Rig();
  never.look("/none", ENOENT);
  assert.equal(never.open("/none", -2n), "home");
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
  const bytes = packQuestion(list, true);
  const got = unpackQuestion(bytes);
  assert.deepEqual(
    got?.lookups.map((l) => ({ ...l, path: l.path.toString() })),
    ["/a", "/b/c", "d"].map((p) => ({ nr: NR.statx, dirfd: 7, flags: 0x100, more: 0xfff, path: `${p}\0` })),
  );
  assert.equal(got?.reads, true);
  for (let n = 0; n < bytes.length; n++) assert.equal(unpackQuestion(bytes.subarray(0, n)), null, `${n} bytes`);
  const wrong = Buffer.from(bytes);
  wrong.writeUInt16LE(NR.unlink, 0);
  assert.equal(unpackQuestion(wrong), null, "another call");
  const many = Array.from({ length: MAX_LOOKUPS + 1 }, () => list[0]).flatMap((l) => l ?? []);
  assert.equal(unpackQuestion(packQuestion(many, false)), null);
});
