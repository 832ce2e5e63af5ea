/** Guests that try to get out of where they run: nothing comes of it on the host, and what is allowed at home comes out as at home. */
import assert from "node:assert/strict";
import { closeSync, existsSync, mkdtempSync, openSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { program } from "../../test/programs/build.ts";
import { Log, toTeselaError } from "../base/mod.ts";
import { Tracees } from "../sys/mod.ts";
import { receiveBlock } from "./file-cache.ts";
import { readGuestLimits } from "./guest-limits.ts";
import { Sys } from "./numbers.ts";
import { place, runList, SKELETON_ARGS } from "./skeleton.ts";
import { TestNodes, TestProgram } from "./test-nodes.ts";
import { canBecomeNobody, GUEST_SOCKET, GUEST_UID, Zygote } from "./zygote.ts";

const skip = process.getuid?.() === 0 ? false : "guests are kept in namespaces, which needs root";
const SIGUSR1 = 10;
const POLL_MS = 2;
const PATIENCE_MS = 20_000;
const HOST = 2;

/** Says the word to the program, once it is on the host. */
async function away(n: TestNodes, p: TestProgram): Promise<void> {
  try {
    await n.home.migrate(p.pid, HOST);
  } catch (e) {
    // Its last try has not brought it home.
    if (toTeselaError(e).code !== "E_EXISTS") throw e;
  }
  p.signal(SIGUSR1);
}

const read = (file: string): string => readFileSync(file, "utf8");
const field = (status: string, name: string): string => new RegExp(`^${name}:\\t(.*)$`, "m").exec(status)?.[1]?.trim() ?? "absent";
/** Only to choose the PIDs of its threads: see docs/decisions/0035. */
const CAP_CHECKPOINT_RESTORE = (1n << 40n).toString(16).padStart(16, "0");
const NAMESPACES = ["cgroup", "ipc", "mnt", "net", "pid", "uts"];

/** What the host's kernel lets a guest do by itself, which is the same after whatever it has tried. */
function assertLocked(tid: number): void {
  const status = read(`/proc/${tid}/status`);
  const got = Object.fromEntries(
    ["Name", "Seccomp", "NoNewPrivs", "CapEff", "CapPrm", "CapInh", "CapAmb"].map((f) => [f, field(status, f)]),
  );
  const none = "0".repeat(16);
  assert.deepEqual(got, {
    Name: "tesela-guest",
    Seccomp: "2",
    NoNewPrivs: "1",
    CapEff: CAP_CHECKPOINT_RESTORE,
    CapPrm: CAP_CHECKPOINT_RESTORE,
    CapInh: none,
    CapAmb: none,
  });
  if (canBecomeNobody()) {
    for (const ids of ["Uid", "Gid"]) assert.deepEqual(new Set(field(status, ids).split("\t")), new Set([String(GUEST_UID)]), ids);
    assert.equal(field(status, "Groups"), "");
  }
  for (const ns of NAMESPACES) assert.notEqual(readlinkSync(`/proc/${tid}/ns/${ns}`), readlinkSync(`/proc/self/ns/${ns}`), ns);
  assert.deepEqual(readdirSync(`/proc/${tid}/root`), [], "an empty directory is all that it could see");
  assert.deepEqual(readdirSync(`/proc/${tid}/fd`), ["0"], "the engine's socket is all that it holds");
  assert.equal(read(`/proc/${tid}/oom_score_adj`), "1000\n");
  assert.match(read(`/proc/${tid}/limits`), /^Max core file size +[01] +[01] /m);
  for (const line of read(`/proc/${tid}/maps`).trim().split("\n")) {
    assert.match(line, /( |\/memfd:tesela-\w+ \(deleted\)|\[\w+\])$|^\S+ \S+ \S+ \S+ 0$/, "no file of the host is mapped");
  }
}

const assertAllLocked = (n: TestNodes): void => {
  for (const guest of n.node(HOST).hosting.all()) assertLocked(guest.leader.tid);
};

/** What a program says between `ready` and `over`, moved before its tries and before each `next` of them. */
async function tries(n: TestNodes, ...argv: string[]): Promise<string[]> {
  using p = await TestProgram.start(n.tracees, program("breakout"), ...argv);
  for (let rounds = 1; ; rounds++) {
    await away(n, p);
    const said = (): number => p.stdout.split("\n").filter((line) => line === "next").length;
    for (let waited = 0; said() < rounds && !/^status/m.test(p.stdout); waited += POLL_MS) {
      assert.ok(waited < PATIENCE_MS, `no end: ${p.stdout} ${p.stderr} ${n.logged.slice(-2000)}`);
      await sleep(POLL_MS);
    }
    if (said() < rounds) break;
    assertAllLocked(n);
    for (let waited = 0; n.node(HOST).hosting.count > 0 && waited < 500; waited += POLL_MS) await sleep(POLL_MS);
  }
  const lines = (await p.end()).trim().split("\n");
  assert.equal(lines.at(-1), "status 0", `${lines.join("\n")}\n${n.logged.slice(-3000)}`);
  return lines.slice(1, -2).filter((line) => line !== "next");
}

const reasons = (n: TestNodes): string[] => [...n.logged.matchAll(/"brought home".*?"reason":"([^"]*)"/g)].map((m) => m[1] as string);

test("calls by other tables than this architecture's are made at home", { skip, timeout: 60_000 }, async () => {
  await using n = await TestNodes.start(HOST);
  assert.deepEqual(await tries(n, "foreign"), [
    "int80 getuid 0",
    "int80 mkdir -14",
    "int80 execve -14",
    "int80 ptrace -3",
    "x32 getpid -38",
    "number -1 -38",
    "number 100000 -38",
  ]);
  assert.ok(reasons(n).includes("code_32bit"), n.logged);
  assert.deepEqual(await tries(n, "compat"), ["compat getuid 0"]);
});

test("the engine's own code does for a guest what the guest may do, and no more", { skip, timeout: 60_000 }, async () => {
  await using n = await TestNodes.start(HOST);
  const each = (name: string): string[] => [
    `${name} getuid ${process.getuid?.()}`,
    `${name} socket 1`,
    `${name} chroot -14`,
    `${name} recvmsg -88`,
  ];
  assert.deepEqual(await tries(n, "stub"), [...each("one"), ...each("list"), "child 7"]);
  assert.deepEqual(reasons(n), [], "all of it was done from away");
});

test("the engine's own pages are no guest's to change: that is done at home", { skip, timeout: 60_000 }, async () => {
  await using n = await TestNodes.start(HOST);
  const said = await tries(n, "pages");
  assert.deepEqual(said, [
    "munmap((void *)OWN_CODE, OWN_SIZE) 0",
    "mprotect((void *)OWN_CODE, 4096, PROT_READ | PROT_WRITE | PROT_EXEC) ENOMEM",
    "madvise((void *)(OWN_CODE + 0x1000), 4096, MADV_DONTNEED) ENOMEM",
    "mmap 10000",
    "mremap 10000",
    "munmap(NULL, OWN_CODE + OWN_SIZE) 0",
  ]);
  assert.deepEqual(
    reasons(n),
    Array.from({ length: said.length }, () => "low_address"),
  );
});

test("a guest that goes step by step meets the engine's own calls", { skip, timeout: 60_000 }, async () => {
  await using n = await TestNodes.start(HOST);
  assert.deepEqual(await tries(n, "step"), ["heard 5, stepped yes"]);
});

test("children in namespaces of their own begin at home", { skip, timeout: 60_000 }, async () => {
  await using n = await TestNodes.start(HOST);
  assert.deepEqual(
    await tries(n, "children"),
    ["10000000", "40000000", "20000000", "800000", "0"].map((f) => `child ${f}`).concat("program 0"),
  );
});

test("a file that one guest did not take is not given to the next", { skip, timeout: 60_000 }, () => {
  const dir = mkdtempSync(join(tmpdir(), "tesela-zygote-"));
  using tracees = new Tracees();
  const log = new Log({ level: "error", fd: openSync(`${dir}/log`, "a") });
  using zygote = Zygote.start(tracees, `${dir}/empty`, log);
  const [mine, other] = ["mine", "other"].map((name) => openSync(join(dir, name), "w")) as [number, number];
  zygote.send([other]);
  zygote.send([other, other]);
  const space = zygote.space(null);
  const tid = space.spawn(1000);
  zygote.send([mine]);
  const block = place(tid, 0, receiveBlock(SKELETON_ARGS));
  assert.deepEqual(runList(tracees, tid, [{ nr: Sys.recvmsg, args: [GUEST_SOCKET, block, 0] }]), [1n]);
  assert.equal(readlinkSync(`/proc/${tid}/fd/${GUEST_SOCKET + 1}`), join(dir, "mine"));
  assert.deepEqual(readdirSync(`/proc/${zygote.tid}/fd`), [String(GUEST_SOCKET)]);
  for (const fd of [mine, other]) closeSync(fd);
  space.leave();
  rmSync(dir, { recursive: true });
});

test("without control groups guests yield as a session, and are counted as a user", { skip, timeout: 60_000 }, async () => {
  const dir = mkdtempSync(join(tmpdir(), "tesela-zygote-"));
  using tracees = new Tracees();
  const log = new Log({ level: "error", fd: openSync(`${dir}/log`, "a") });
  using zygote = Zygote.start(tracees, `${dir}/empty`, log, { ...readGuestLimits({}), group: false });
  const { tasks } = readGuestLimits({});
  if (canBecomeNobody()) assert.match(read(`/proc/${zygote.tid}/limits`), new RegExp(`^Max processes +${tasks} +${tasks} `, "m"));
  if (existsSync("/proc/self/autogroup")) assert.match(read(`/proc/${zygote.tid}/autogroup`), / nice 10$/m);
  rmSync(dir, { recursive: true });
});
