/** Nodes that take home's kernel for another than theirs: programs go on with home's vdso, made fit for the kernel where they are. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { program } from "../../test/programs/build.ts";
import { toTeselaError } from "../base/mod.ts";
import { memory, NO_SYSCALL, proc, ptrace, Reg, Regs } from "../sys/mod.ts";
import { SEED, seeded, STEP_MS, TestNodes, TestProgram } from "./test-nodes.ts";
import { stepOut } from "./vdso-exit.ts";

const skip = process.getuid?.() === 0 ? false : "guests are kept in namespaces, which needs root";
const options = { skip, timeout: 180_000 };
const [GETUID, SOCKET] = [102, 41];
const SIGTERM = 15;
/** Node 1 is home and node 2 has its kernel. */
const NODES = 4;
const FOREIGN = [3, 4];

/** Moves a program to any node but the one where it is, until it has ended. @returns how often it went to a node with another kernel */
async function moveAbout(n: TestNodes, pid: number, over: () => boolean, pauseMs: number): Promise<number> {
  const random = seeded();
  let foreign = 0;
  while (!over()) {
    await sleep(random.float() * pauseMs);
    const at = n.home.tracks.find(pid)?.node ?? 1;
    const choices = [1, 2, 3, 4].filter((id) => id !== at);
    const to = choices[random.int(choices.length)] ?? 1;
    try {
      await n.home.migrate(pid, to === 1 ? "home" : to);
      if (FOREIGN.includes(to)) foreign++;
    } catch (e) {
      // It is coming home by itself, forks just now, or has ended.
      const { code, message } = toTeselaError(e);
      assert.ok(["E_BUSY", "E_EXISTS", "E_GONE", "E_CANTMOVE", "E_NOENT_PID"].includes(code), `${code}: ${message}`);
      assert.doesNotMatch(message, /kernels differ/);
    }
  }
  return foreign;
}

/** Without the clocks of CPU time, which at home do not count what was used away. */
const RUNS: readonly (readonly [string, readonly string[], number])[] = [
  ["vdso", ["3", "1", "0", "0"], 20],
  ["vdso in a storm of signals", ["3", "1", "1000", "0"], 30],
  ["clocks", ["6", "5000", "0"], 30],
];
for (const [name, args, pauseMs] of RUNS) {
  test(`${name}: as unmoved, wherever it is`, options, async (t) => {
    await using n = await TestNodes.start(NODES, STEP_MS, FOREIGN);
    using p = await TestProgram.start(n.tracees, program(name.split(" ")[0] as "vdso"), ...args);
    let ended = false;
    const end = p.end().finally(() => {
      ended = true;
    });
    end.catch(() => undefined);
    const foreign = await moveAbout(n, p.pid, () => ended, pauseMs);
    const said = await end;
    const rounds = Array.from({ length: Number(args[0]) }, (_, i) => `round ${i + 1} ok\n`).join("");
    const about = `seed ${SEED}: ${said}`;
    assert.equal(said.replace(/drift.*\n/, ""), `ready\n${rounds}status 0\n`, about);
    const back = n.logged.match(/"reason":"vdso"/g)?.length ?? 0;
    t.diagnostic(`${foreign} moves to another kernel, brought home from there ${back} times`);
    assert.ok(foreign > 0, about);
  });
}

test("bad pointers do what they do at home", options, async () => {
  await using n = await TestNodes.start(3, STEP_MS, [3]);
  const run = async (away: boolean): Promise<string> => {
    using p = await TestProgram.start(n.tracees, program("vdso"), "bad", "1500");
    if (away) await n.home.migrate(p.pid, 3);
    return await p.end();
  };
  assert.equal(await run(true), await run(false));
});

test("no call is made on the way out that the filter would stop", options, async () => {
  await using n = await TestNodes.start(2, STEP_MS, [2]);
  using p = await TestProgram.start(n.tracees, program("spin"), "1000000");
  await n.home.migrate(p.pid, 2);
  const [guest] = n.node(2).hosting.all();
  assert.ok(guest);
  await guest.freeze();
  const { tid } = guest.leader;
  const own = new Regs();
  ptrace.getRegs(tid, own.bytes);
  // As a program may jump there by itself, with any call in mind.
  const call = findCall(tid);
  for (const nr of [GETUID, SOCKET]) {
    const regs = own.clone();
    regs.set(Reg.rip, call);
    regs.set(Reg.rax, BigInt(nr));
    regs.set(Reg.origRax, NO_SYSCALL);
    ptrace.setRegs(tid, regs.bytes);
    assert.equal(
      stepOut(n.tracees, tid, () => true, false),
      "was out",
    );
    assert.equal(
      stepOut(n.tracees, tid, () => true, true),
      "at call",
    );
    const met = new Regs();
    ptrace.getRegs(tid, met.bytes);
    assert.deepEqual([met.get(Reg.rip), met.get(Reg.rax), met.get(Reg.origRax)], [call, BigInt(nr), NO_SYSCALL]);
  }
  ptrace.setRegs(tid, own.bytes);
  guest.thaw();
  await n.home.migrate(p.pid, "home");
  p.signal(SIGTERM);
  assert.match(await p.end(), /^status 143$/m);
});

/** The address of a `syscall` in the kernel's own vdso in a guest. */
function findCall(tid: number): bigint {
  const line = proc.readMaps(tid).find((l) => l.name === "[vdso]");
  assert.ok(line);
  const code = Buffer.alloc(Number(line.end - line.start));
  memory.readUpTo(tid, line.start, code);
  const at = code.indexOf(Buffer.from([0x0f, 0x05]));
  assert.ok(at > 0);
  return line.start + BigInt(at);
}
