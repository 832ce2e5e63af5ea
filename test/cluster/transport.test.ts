/** The node's listener on real hosts: strangers and nonsense change nothing for processes that are away; outages end as they should. */
import assert from "node:assert/strict";
import { createInterface } from "node:readline";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { DEFAULT_PORT } from "../../src/base/mod.ts";
import { cannot, type HostProcess, startCluster, type TestCluster } from "./harness.ts";
import { engine, migrate, whereIs } from "./move.ts";
import { DEAD_MS, EVERY_MS, type Event } from "./outage.ts";
import type { Fate } from "./strangers.ts";

const skip = await cannot();
const script = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const HANDSHAKE_MS = 5000;
const HANG_MS = 60_000;
const SHORT_MS = 1000;
let cluster: TestCluster | null = null;
const shared = async (): Promise<TestCluster> => {
  cluster ??= await startCluster({ n: 2 });
  return cluster;
};
after(async () => cluster?.[Symbol.asyncDispose]());

interface EngineStatus {
  readonly pid: number;
  readonly guests: number;
}

test("strangers, wrong certificates, garbage, oversized frames and half-open connections: nothing changes", { skip }, async () => {
  const c = await shared();
  const worker = await c.spawn(1, ["awk", "BEGIN { while (1) i++ }"], { stdio: ["ignore", "pipe", "inherit"] });
  await sleep(100);
  await migrate(c, worker.pid, 2);
  const before = await engine<EngineStatus>(c, 2, "GET", "/status");
  assert.equal(before.guests, 1);

  const host = c.state.hosts.find((h) => h.id === 2);
  const output = await c.output(1, [process.execPath, script("strangers.ts"), host?.address ?? "", String(DEFAULT_PORT), "2"]);
  const fates = JSON.parse(output) as Record<string, Fate>;
  for (const [attack, { bytes }] of Object.entries(fates)) assert.equal(bytes, 0, `${attack} got ${bytes} bytes`);
  for (const attack of [
    "noCertificate",
    "wrongCa",
    "wrongCaBulk",
    "wrongCaControl",
    "joinWithoutToken",
    "memberWantsToJoin",
    "unknownProtocol",
    "garbage",
    "noise",
  ]) {
    // Told, and not left to wait until its time is up.
    assert.ok((fates[attack]?.ms ?? Infinity) < HANDSHAKE_MS / 2, `${attack} took ${fates[attack]?.ms} ms`);
  }
  const halfOpen = fates["halfOpen"]?.ms ?? 0;
  assert.ok(halfOpen > HANDSHAKE_MS * 0.8 && halfOpen < HANDSHAKE_MS * 3, `half-open lived ${halfOpen} ms`);
  const errors: Record<string, RegExp> = {
    wrongNode: /^E_IDENTITY: node 2 answered where node 3 was called/,
    ownWrongCa: /^E_IDENTITY: .*this node's certificate/,
    otherCluster: /^E_IDENTITY: .*not from this cluster's CA/,
    oversized: /^E_PROTOCOL: .*4294967295 bytes, the limit is/,
    unknownMessage: /^E_PROTOCOL: .*unknown message id 255/,
    wrongHead: /^E_PROTOCOL: malformed frame head/,
  };
  for (const [attack, pattern] of Object.entries(errors)) assert.match(fates[attack]?.error ?? "", pattern, attack);

  assert.deepEqual(await engine<EngineStatus>(c, 2, "GET", "/status").then(({ pid, guests }) => ({ pid, guests })), {
    pid: before.pid,
    guests: 1,
  });
  assert.equal(await whereIs(c, worker.pid), 2);
  assert.match(c.log(2, "tesela-engine"), /a connection was refused/);
  await migrate(c, worker.pid, "home");
  process.kill(worker.outerPid, "SIGKILL");
  await worker.ended;
});

/** Starts one end and follows what it says. */
async function end(
  c: TestCluster,
  node: number,
  ...args: string[]
): Promise<{ process: HostProcess; next(what: Event["what"]): Promise<Event> }> {
  const process_ = await c.spawn(node, [process.execPath, script("outage.ts"), ...args], { stdio: ["ignore", "pipe", "inherit"] });
  const events: Event[] = [];
  let wake = (): void => {};
  assert.ok(process_.child.stdout);
  createInterface(process_.child.stdout).on("line", (line) => {
    events.push(JSON.parse(line) as Event);
    wake();
  });
  return {
    process: process_,
    async next(what) {
      for (;;) {
        for (let event = events.shift(); event !== undefined; event = events.shift()) {
          if (event.what === what) return event;
          if (event.what === "closed") throw new Error(`'${what}' was waited for, and it was closed: ${event.code}`);
        }
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
  };
}

test("an outage shorter than the time to give up is waited out, a longer one ends both ends with E_LINK", { skip }, async () => {
  const c = await shared();
  const port = "4999";
  const far = await end(c, 2, "listen", port);
  await far.next("ready");
  const near = await end(c, 1, "dial", "10.88.0.2", port, "2");
  await near.next("up");
  const last = async (): Promise<number> => {
    const event = await near.next("back");
    return event.what === "back" ? event.n : -1;
  };
  let expected = await last();
  const follow = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i++) assert.equal(await last(), ++expected);
  };
  await follow(20);
  await c.cut(2);
  await sleep(SHORT_MS);
  await c.heal(2);
  // None lost, none twice.
  await follow(SHORT_MS / EVERY_MS + 20);
  const cut = performance.now();
  await c.cut(2);
  for (const side of [near, far]) assert.deepEqual(await side.next("closed"), { what: "closed", code: "E_LINK" });
  const took = performance.now() - cut;
  assert.ok(took > DEAD_MS * 0.8 && took < DEAD_MS * 3, `${took} ms`);
  await c.heal(2);
  await Promise.all([near, far].map((side) => side.process.ended));
});

test("a peer whose process is killed is known at once", { skip }, async () => {
  const c = await shared();
  const port = "4998";
  const far = await end(c, 2, "listen", port);
  await far.next("ready");
  // Were it silence that tells, it would be known after that.
  const near = await end(c, 1, "dial", "10.88.0.2", port, "2", String(HANG_MS));
  await near.next("back");
  const killed = performance.now();
  process.kill(far.process.outerPid, "SIGKILL");
  assert.deepEqual(await near.next("closed"), { what: "closed", code: "E_LINK" });
  assert.ok(performance.now() - killed < HANG_MS);
});
