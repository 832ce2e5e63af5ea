/** What comes home comes home, however long a step of that takes, and what does not goes on where it is. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { program } from "../../test/programs/build.ts";
import { toTeselaError } from "../base/mod.ts";
import { libc } from "../sys/mod.ts";
import { TestNodes, TestProgram, tree } from "./test-nodes.ts";

const skip = process.getuid?.() === 0 ? false : "guests are kept in namespaces, which needs root";
const options = { skip, timeout: 120_000 };
const [SIGKILL, SIGTERM] = [9, 15];
const POLL_MS = 10;
const HANG_MS = 60_000;
/** For one step of a move, where a test is about a step that takes longer: far more than one takes that is not held up, on a busy machine too. */
const SHORT_STEP_MS = 3000;
/** Rounds of a program that is there until it is ended. */
const LONG = "1000000";

async function until(what: string, holds: () => boolean, n: TestNodes): Promise<void> {
  for (let waited = 0; !holds(); waited += POLL_MS) {
    assert.ok(waited < HANG_MS, `${what}\n${n.logged.slice(-4000)}`);
    await sleep(POLL_MS);
  }
}

test("home may take its time between its connection and what it fetches on it", options, async () => {
  await using n = await TestNodes.start(2, SHORT_STEP_MS);
  using p = await TestProgram.start(n.tracees, program("spin"), LONG);
  await n.home.migrate(p.pid, 2);
  n.node(1).faults.arm("stand", "wait", 2 * SHORT_STEP_MS);
  await n.home.migrate(p.pid, "home");
  p.signal(SIGTERM);
  assert.match(await p.end(), /^status 143$/m);
});

test("a large group moves on a network where each connection takes a while", options, async () => {
  // All of them take longer than a host waits for one that it has been offered.
  const [children, stepMs, slowMs] = [31, 5000, 400];
  await using n = await TestNodes.start(3, stepMs);
  using herd = await TestProgram.start(n.tracees, program("herd"), String(children), "20");
  for (const { transport } of n.nodes) {
    const connect = transport.connect.bind(transport);
    transport.connect = async (...args) => {
      await sleep(slowMs);
      return await connect(...args);
    };
  }
  for (const to of [2, 3, "home"] as const) {
    const { with: others } = await n.home.migrate(herd.pid, to);
    assert.equal(others?.length, children);
  }
  for (const child of tree(herd.pid).slice(1)) libc.kill(child, SIGKILL);
  assert.equal(await herd.end(), `ready\ndone ${children} of ${children}\nstatus 0\n`);
});

test("what a homecoming fetches is not looked for any more once that has failed", options, async () => {
  await using n = await TestNodes.start(2, SHORT_STEP_MS);
  using p = await TestProgram.start(n.tracees, program("spin"), LONG);
  await n.home.migrate(p.pid, 2);
  const gate = Promise.withResolvers<void>();
  n.node(2).gate = gate.promise;
  await assert.rejects(n.home.migrate(p.pid, "home"), (e) => toTeselaError(e).code === "E_TIMEOUT");
  // The guest has been thawed, and home has hung up.
  gate.resolve();
  await until("the late connection is looked at", () => n.logged.includes("a process was not carried"), n);
  p.signal(SIGTERM);
  assert.match(await p.end(), /^status 143$/m);
});

test("who waits for a guest to stand learns that it is wanted no more", options, async () => {
  await using n = await TestNodes.start(2);
  using p = await TestProgram.start(n.tracees, program("threads"), "leader", String(HANG_MS));
  await n.home.migrate(p.pid, 2);
  const [guest] = n.node(2).hosting.all();
  assert.ok(guest);
  const waits = (): boolean => [...guest.threads.values()].some((t) => t.state.kind === "calling");
  await until("a thread waits at home", waits, n);
  // One after the other, and both before home has ended its call.
  const both = [guest.freeze(), guest.freeze()].map((f) => assert.rejects(f, (e) => toTeselaError(e).code === "E_BUSY"));
  guest.thaw();
  await Promise.all(both);
  assert.ok([...guest.threads.values()].every((t) => !t.freezing && t.state.kind !== "frozen"));
  p.signal(SIGKILL);
  assert.match(await p.end(), /^status 137$/m);
});

/** A homecoming that does not work is given up after twice that. */
const ANSWER_MS = 1000;
const HEARD: Readonly<Record<string, string>> = {
  group: "the child has ended with 3",
  thread: "the child has ended with 3",
  // It can neither go on where it is nor be parted from its parent.
  child: `the child was killed by ${SIGKILL}`,
};
for (const [who, heard] of Object.entries(HEARD)) {
  test(`a ${who} that has to come home while another is in a vfork`, options, async () => {
    await using n = await TestNodes.start(2, 2000, [], ANSWER_MS);
    using p = await TestProgram.start(n.tracees, program("vfork-waits"), who, String(ANSWER_MS), String(4 * ANSWER_MS));
    await n.home.migrate(p.pid, 2);
    assert.equal(await p.end(), `ready\n${heard}\ndone\nstatus 0\n`, n.logged.slice(-4000));
    assert.match(n.logged, /coming home failed, trying again.*until (it|that) is another program/);
  });
}
