/** Datagrams of those who do not belong: forged, recorded and sent again, cut off, bent, in masses; and of a node that was sent away with its key. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { DEFAULT_PORT, gossipPort } from "../../src/base/mod.ts";
import { parseGossipKeys } from "../../src/cluster/mod.ts";
import type { NodeRow, ProcessRow } from "../../src/daemon/mod.ts";
import { SeededRandom } from "../../src/io/mod.ts";
import { cannot, startCluster, type TestCluster } from "./harness.ts";

const skip = await cannot();
const script = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const PORT = String(gossipPort(DEFAULT_PORT));
const MEMBERS = [1, 2, 3];
/** A machine of the same network that has no key. */
const STRANGER = 4;
const FLOOD = 100_000;
/** Against hangs only. */
const GUARD_MS = 90_000;
const KEY_ID_AT = 4;
const JOB = "scale=1200; x=0; for (i=0;i<20;i++) x+=4*a(1/(i+1)); x";
const random = new SeededRandom(63);
let cluster: TestCluster;

before(async () => {
  if (skip) return;
  cluster = await startCluster({ n: 4, pin: true, env: { TESELA_LEVEL: "on" } });
  for (const service of ["teselad", "tesela-engine"]) await cluster.kill(STRANGER, service, "SIGTERM", { stay: true });
  await cluster.sh(STRANGER, "while [ -e /run/services/teselad.pid ] || [ -e /run/services/tesela-engine.pid ]; do sleep 0.05; done");
  await cluster.sh(STRANGER, "rm -rf /var/lib/tesela/*");
  await cluster.tesela(1, "node", "remove", String(STRANGER), "--force");
  await until("three members", async () => (await all()).every((text) => text === "1:up 2:up 3:up"));
});
after(async () => await cluster?.[Symbol.asyncDispose]());

async function until(what: string, good: () => Promise<boolean>): Promise<void> {
  for (const start = performance.now(); !(await good()); await sleep(200)) assert.ok(performance.now() - start < GUARD_MS, what);
}
const states = (host: number): Promise<string> =>
  cluster.tesela<NodeRow[]>(host, "nodes").then(
    (rows) => rows.map((r) => `${r.id}:${r.state}`).join(" "),
    (e: unknown) => (e as Error).message,
  );
const all = (): Promise<string[]> => Promise.all(MEMBERS.map(states));
/** How often anybody thought that somebody was down. */
const downs = (): number => MEMBERS.reduce((n, h) => n + (cluster.log(h, "teselad").match(/node \d+ is down/g)?.length ?? 0), 0);
const address = (host: number): string => `10.88.0.${host}`;
const tool = (host: number, input: string, ...args: string[]): Promise<string> =>
  cluster.output(host, ["python3", script("datagrams.py"), ...args], { input, timeoutMs: GUARD_MS });

interface Recorded {
  readonly to: number;
  readonly bytes: Buffer;
}
/** Sealed datagrams that went by a host. */
async function record(host: number, count: number): Promise<Recorded[]> {
  const lines = (await tool(host, "", "record", String(count), PORT)).split("\n").filter((line) => line.includes(" "));
  return lines.map((line) => {
    const [, to = "", hex = ""] = line.split(" ");
    return { to: Number(to.split(".")[3]), bytes: Buffer.from(hex, "hex") };
  });
}
const hex = (list: readonly Buffer[]): string => list.map((b) => `${b.toString("hex")}\n`).join("");

/** Sends these to each member from a host; nothing comes back, and nobody's idea of the others changes. */
async function tryAll(host: number, kinds: Readonly<Record<string, readonly Buffer[]>>): Promise<void> {
  const before = downs();
  const heard = await cluster.spawn(host, ["python3", script("datagrams.py"), "heard", PORT, "8", address(host)]);
  let text = "";
  heard.child.stdout?.on("data", (part: Buffer) => {
    text += part;
  });
  await until("the recorder is ready", () => Promise.resolve(text.includes("ready")));
  for (const [kind, list] of Object.entries(kinds)) {
    for (const to of MEMBERS) {
      if (to === host) continue;
      assert.equal(await tool(host, hex(list), "send", address(to), PORT, "0.2"), "0\n", `${kind} to node ${to}: answers`);
    }
  }
  await heard.ended;
  assert.equal(text.trim(), "ready\n0", "packets that came back");
  assert.deepEqual([await all(), downs() - before], [MEMBERS.map(() => "1:up 2:up 3:up"), 0]);
}

function bent({ bytes }: Recorded): Buffer {
  const copy = Buffer.from(bytes);
  const at = random.int(copy.length);
  copy[at] = (copy[at] ?? 0) ^ (1 << random.int(8));
  return copy;
}
/** With a header that passes all cheap questions: the key's name is there for everybody to read. */
function plausible(from: Recorded): Buffer {
  const head = from.bytes.subarray(0, 34);
  const life = random.bytes(8);
  return Buffer.concat([head.subarray(0, 12), life, head.subarray(20), random.bytes(1 + random.int(1200))]);
}
const recordings: Recorded[] = [];

test("forged, replayed, cut off and bent datagrams get no answer and change nothing", { skip, timeout: 400_000 }, async () => {
  recordings.push(...(await record(1, 80)));
  const [first] = recordings;
  assert.ok(first);
  await tryAll(STRANGER, {
    noise: Array.from({ length: 50 }, () => random.bytes(1 + random.int(2000))),
    replayed: recordings.map((r) => r.bytes),
    bent: recordings.map(bent),
    "each bit of a header": Array.from({ length: 34 * 8 }, (_, bit) => {
      const copy = Buffer.from(first.bytes);
      copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      return copy;
    }),
    cut: Array.from({ length: first.bytes.length }, (_, n) => first.bytes.subarray(0, n + 1)).slice(0, -1),
    longer: recordings.map((r) => Buffer.concat([r.bytes, random.bytes(1)])),
    plausible: Array.from({ length: 200 }, (_, i) => plausible(recordings[i % recordings.length] as Recorded)),
  });
});

test("what was recorded in a former life of a node moves nobody", { skip, timeout: 400_000 }, async () => {
  recordings.push(...(await record(2, 60)));
  await cluster.kill(2, "teselad", "SIGKILL");
  await sleep(500);
  await until("it is back", async () => (await all()).every((text) => text === "1:up 2:up 3:up"));
  await sleep(2000);
  await tryAll(STRANGER, { "of former lives": recordings.map((r) => r.bytes) });
});

test("in a flood all stay members, and jobs spread as ever", { skip, timeout: 400_000 }, async () => {
  const job = (...before: string[]) => {
    const [file = "bc", ...args] = [...before, "bc", "-lq"];
    return cluster.exec(1, [file, ...args], { input: `${JOB}\n`, timeoutMs: 300_000 });
  };
  const want = await job();
  const mixed = Array.from({ length: 300 }, (_, i) => {
    const one = recordings[i % recordings.length] as Recorded;
    return [plausible(one), bent(one), one.bytes][i % 3] as Buffer;
  });
  const before = downs();
  let done = false;
  const flood = (async (): Promise<number> => {
    let sent = 0;
    for (; sent === 0 || !done; sent += FLOOD)
      assert.equal(await tool(STRANGER, hex(mixed), "flood", address(1), PORT, String(FLOOD)), "0\n", "answers to a flood");
    return sent;
  })();
  const jobs = Array.from({ length: 6 }, () => job("tesela", "run"));
  const rows = async (): Promise<ProcessRow[]> => (await cluster.tesela<ProcessRow[]>(1, "ps")).filter((r) => r.command.startsWith("bc"));
  await until("a job moves in the flood", async () => (await rows()).some((r) => r.node !== 1 && r.nmigs > 0));
  assert.deepEqual(
    await all(),
    MEMBERS.map(() => "1:up 2:up 3:up"),
  );
  done = true;
  assert.ok((await flood) >= FLOOD);
  for (const j of jobs) assert.deepEqual(await j, want);
  assert.equal(downs() - before, 0, "somebody was taken for dead");
});

test("a token that was stolen is worth nothing when its time is over", { skip, timeout: 100_000 }, async () => {
  const { token } = await cluster.tesela<{ token: string }>(1, "token", "--ttl", "2s", "--id", "4");
  await sleep(3000);
  const refused = (e: unknown): boolean => (e as { code?: string }).code === "E_REFUSED";
  await assert.rejects(cluster.tesela(STRANGER, "join", "--token", token), refused);
  // The door is open now, for another one.
  await cluster.tesela(1, "token", "--ttl", "60s", "--id", "9");
  await assert.rejects(cluster.tesela(STRANGER, "join", "--token", token), refused);
  assert.equal(await cluster.sh(STRANGER, "ls /var/lib/tesela"), "");
  assert.deepEqual(
    await all(),
    MEMBERS.map(() => "1:up 2:up 3:up"),
  );
});

test("a node that is sent away and keeps its key is out, and reads nothing new", { skip, timeout: 400_000 }, async () => {
  const out = 3;
  const identity = "/var/lib/tesela/identity";
  await cluster.sh(out, `cp ${identity}/gossip.key /tmp/stolen.key`);
  const stolen = parseGossipKeys(await cluster.sh(out, "cat /tmp/stolen.key"), "stolen").primary;
  for (const service of ["teselad", "tesela-engine"]) await cluster.kill(out, service, "SIGTERM", { stay: true });
  const pose = async (as: number): Promise<number> =>
    Number(
      await cluster.output(out, [process.execPath, script("forger.ts"), "/tmp/stolen.key", String(as), address(1), PORT, "1", "1"], {
        timeoutMs: GUARD_MS,
      }),
    );
  await until("its port is free", async () => (await cluster.sh(out, `ss -Hlun "sport = :${PORT}" | wc -l`)) === "0");
  assert.ok((await pose(out)) > 0, "a member is answered");

  await cluster.tesela(1, "node", "remove", String(out), "--force");
  const start = performance.now();
  const oldKey = async (host: number): Promise<boolean> => (await record(host, 12)).some((r) => r.bytes.readUInt32BE(KEY_ID_AT) === stolen);
  await until("the old key is out of use", async () => !(await oldKey(1)) && !(await oldKey(2)));
  console.log(`# the key was changed after ${Math.round(performance.now() - start)} ms or less`);
  const now = await Promise.all([1, 2].map((h) => cluster.sh(h, `cat ${identity}/gossip.key`)));
  assert.deepEqual([now[0] === now[1], parseGossipKeys(now[0] ?? "", "now").has(stolen)], [true, false]);
  await until("both have forgotten it", async () => (await Promise.all([1, 2].map(states))).every((text) => text === "1:up 2:up"));
  await until("nobody answers it", async () => (await pose(out)) === 0);
  const before = downs();
  assert.deepEqual([await pose(out), await pose(2)], [0, 0], "in its own name, and in another's");
  assert.deepEqual([await Promise.all([1, 2].map(states)), downs() - before], [["1:up 2:up", "1:up 2:up"], 0]);
});
