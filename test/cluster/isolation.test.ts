/** What a guest asks for is done at its home, and nothing of it on its host: not even what it tries to harm the host with. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { toTeselaError } from "../../src/base/mod.ts";
import { program } from "../programs/build.ts";
import { type Argv, cannot, startCluster, type TestCluster } from "./harness.ts";
import { guestsSeen } from "./host-view.ts";
import { engine, homecomings, listen, migrate, outerPid, whereIs } from "./move.ts";
import { processState, Talk } from "./talk.ts";

const skip = process.getuid?.() === 0 ? await cannot() : "programs of several users, and control groups, need root";
const [HOME, HOST] = [1, 2];
const USER = 4242;
const OTHER = 4343;
const MOST_GUESTS = 12;
const MEMORY = 96 << 20;
const WEIGHT = 10;
/** More than the PIDs in use at home: a victim's number shall mean nobody there. */
const PIDS_AHEAD = 500;
const POLL_MS = 10;
const PATIENCE_MS = 60_000;

/** What the guests here would change. */
const LOOK = "cat /proc/self/mountinfo; hostname; ls /mnt /dev/shm; ls /tmp/made /tmp/device 2>&1 || :";

let cluster: TestCluster;
before(async () => {
  if (skip !== false) return;
  const env = {
    TESELA_GUEST_GROUP: "on",
    TESELA_GUEST_PROCESSES: String(MOST_GUESTS),
    TESELA_GUEST_MEMORY: String(MEMORY),
    TESELA_GUEST_WEIGHT: String(WEIGHT),
  };
  cluster = await startCluster({ n: 2, env });
  for (const node of [HOME, HOST]) await cluster.sh(node, `cp ${program("breakout")} /tmp/breakout`);
});
after(async () => {
  if (!cluster) return;
  // Control groups are the machine's: only an engine that ends in good order takes its own away.
  for (const node of [HOME, HOST]) if (engineOf(node) !== null) await stopEngine(node);
  await cluster[Symbol.asyncDispose]();
});

const as = (uid: number, ...argv: string[]): Argv => [
  "setpriv",
  ...["--reuid", String(uid), "--regid", String(uid), "--clear-groups"],
  "/tmp/breakout",
  ...argv,
];

async function until(what: string, done: () => boolean | Promise<boolean>): Promise<void> {
  for (let waited = 0; !(await done()); waited += POLL_MS) {
    assert.ok(waited < PATIENCE_MS, `${what} does not come`);
    await sleep(POLL_MS);
  }
}

async function started(argv: Argv, node: number = HOME): Promise<Talk> {
  const talk = await Talk.start(cluster, argv, { node });
  assert.equal(await talk.next(), "ready");
  return talk;
}

const tell = (talk: Talk): boolean => process.kill(talk.outerPid, "SIGUSR1");

function engineOf(node: number): number | null {
  const init = cluster.state.hosts.find((h) => h.id === node)?.init?.pid;
  try {
    return outerPid(cluster, node, Number(readFileSync(`/proc/${init}/root/run/services/tesela-engine.pid`, "utf8")));
  } catch {
    return null;
  }
}

async function stopEngine(node: number): Promise<void> {
  const pid = engineOf(node);
  await cluster.kill(node, "tesela-engine", "TERM", { stay: true });
  await until("the engine's end", () => pid === null || processState(pid) === "X");
}

/** The directories of the control groups that a host's guests are in, and why there are none. */
function groups(node: number): { dirs: string[]; missing: string } {
  const missing = /"missing":"([^"]*)"/.exec(cluster.log(node, "tesela-engine"))?.[1] ?? "";
  const pid = engineOf(node);
  const zygote = pid === null ? "" : (readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ")[0] ?? "");
  if (zygote.trim() === "") return { dirs: [], missing };
  const dirs = readFileSync(`/proc/${zygote}/cgroup`, "utf8")
    .split("\n")
    .map((line) => /^\d+:([^:]*):(.*\/tesela-guests-[^/]+)$/.exec(line))
    .filter((m) => m !== null)
    .map(([, names = "", path]) => `/sys/fs/cgroup/${names.replace(/^name=/, "")}${path}`.replace("//", "/"));
  return { dirs: dirs.filter((d) => existsSync(d)), missing };
}

test("whatever a guest asks for, its host does not do", { skip }, async () => {
  await cluster.sh(HOST, `i=0; while [ $i -lt ${PIDS_AHEAD} ]; do /bin/true; i=$((i+1)); done`);
  for (const node of [HOME, HOST]) await cluster.sh(node, `printf ${node === HOME ? "home" : "host"} >/tmp/whose`);
  await using victim = await started(as(USER, "serve"), HOST);
  await using other = await started(as(OTHER, "wait"));
  await using guest = await started(as(USER, "calls", String(victim.pid), String(other.pid)));
  const heard = listen(cluster);
  await migrate(cluster, other.pid, HOST);
  await migrate(cluster, guest.pid, HOST);
  assert.deepEqual(
    await guestsSeen(cluster, HOST).then((seen) => new Set(seen)),
    new Set(["root [tesela-guest]", "nobody [tesela-guest]"]),
  );
  const untouched = await cluster.sh(HOST, LOOK);
  tell(guest);
  const { status, lines } = await guest.end();
  assert.equal(status, 0, guest.stderr);
  assert.deepEqual(homecomings(heard(HOME)), [], "nothing brought it home");
  const outcome = lines.slice(1, -1).map((line) => /(\S+)$/.exec(line)?.[1]);
  const names = lines.slice(1, -1).map((line) => line.replace(/\(.*|file of.*/, ""));
  assert.deepEqual(
    names.map((name, i) => `${name} ${outcome[i]}`.trim()),
    [
      "home",
      ...["connect ECONNREFUSED", "connect ECONNREFUSED", "bind 0", "listen 0"],
      ...["kill ESRCH", "syscall ESRCH", "kill EPERM", "kill 0", "kill 0", "syscall ESRCH"],
      ...["process_vm_readv ESRCH", "process_vm_writev ESRCH", "process_vm_writev EPERM", "setpriority ESRCH"],
      ...["mount EPERM", "sethostname EPERM", "chroot EPERM", "syscall EPERM", "syscall EINVAL", "prctl 0", "shmget 1", "mknod EPERM"],
    ],
  );
  assert.equal(await cluster.sh(HOST, LOOK), untouched);
  assert.equal(await cluster.sh(HOST, "cat /tmp/whose"), "host");
  assert.equal(await cluster.sh(HOME, "cat /tmp/made"), "x");
  assert.match(await cluster.sh(HOME, "cat /proc/sysvipc/shm"), /^ *8281626 /m);
  assert.doesNotMatch(await cluster.sh(HOST, "cat /proc/sysvipc/shm"), /^ *8281626 /m);
  assert.deepEqual(victim.lines, ["ready"], "nobody came to it");
  assert.notEqual(processState(victim.outerPid), "X");
  assert.equal(await whereIs(cluster, other.pid), HOST);
  tell(other);
  assert.equal((await other.end()).status, 0);
});

test("what root may do at home, it does there and not on the host", { skip }, async () => {
  const host = (): Promise<string> => cluster.sh(HOST, LOOK);
  const before = await host();
  await using guest = await started(["/tmp/breakout", "root"]);
  await migrate(cluster, guest.pid, HOST);
  tell(guest);
  const { lines } = await guest.end();
  assert.equal(lines.filter((line) => / 0$/.test(line)).length, 4, lines.join("\n"));
  assert.match(await cluster.sh(HOME, "cat /proc/mounts; hostname; ls /tmp"), /tesela-breakout.*^broken$.*^device$/ms);
  assert.equal(await host(), before);
  await cluster.sh(HOME, "umount /mnt; hostname h1");
});

test("calls that only home can make bring the guest there", { skip }, async () => {
  await using guest = await started(["/tmp/breakout", "special"]);
  const heard = listen(cluster);
  for (let rounds = 0; rounds < 7; rounds++) {
    await until("its home-coming", async () => rounds === 0 || (await whereIs(cluster, guest.pid)) === HOME);
    await migrate(cluster, guest.pid, HOST);
    tell(guest);
    if ((await guest.until(/^next$|^over$/)).at(-1) === "over") break;
  }
  assert.equal((await guest.end()).status, 0);
  const reasons = new Set(homecomings(heard(HOME)));
  for (const name of ["io_uring", "userfaultfd", "perf_event", "bpf", "ptrace"]) assert.ok(reasons.has(name), [...reasons].join(" "));
});

test("more guests than a host takes begin at home, and none is refused", { skip }, async () => {
  const n = 30;
  await using guest = await started(as(USER, "forks", String(n)));
  const heard = listen(cluster);
  await migrate(cluster, guest.pid, HOST);
  tell(guest);
  assert.equal(await guest.next(), `begun ${n}`);
  const { guests } = await engine<{ guests: number }>(cluster, HOST, "GET", "/status");
  assert.ok(guests > 1 && guests <= MOST_GUESTS, `${guests} guests`);
  assert.ok(homecomings(heard(HOME)).includes("guest_limit"));
  tell(guest);
  assert.equal((await guest.end()).status, 0);
  await until("the guests' end", async () => (await engine<{ guests: number }>(cluster, HOST, "GET", "/status")).guests === 0);
});

test("a guest that takes all memory ends alone, by its group's limit", { skip }, async (t) => {
  const { dirs, missing } = groups(HOST);
  if (missing.includes("memory") || dirs.length === 0) {
    t.skip(`no control group here limits memory: ${missing}`);
    return;
  }
  const engineBefore = engineOf(HOST);
  await using small = await started(as(OTHER, "memory", "1"));
  await using tooLarge = await started(as(USER, "memory", "100"));
  tell(tooLarge);
  assert.equal(await tooLarge.next(), "took 100");
  await assert.rejects(migrate(cluster, tooLarge.pid, HOST), (e) => toTeselaError(e).code === "E_NOMEM");
  tell(tooLarge);
  assert.equal((await tooLarge.end()).status, 0);
  await using large = await started(as(USER, "memory", "300"));
  for (const talk of [small, large]) await migrate(cluster, talk.pid, HOST);
  tell(small);
  assert.equal(await small.next(), "took 1");
  tell(large);
  assert.equal((await large.end()).status, 137);
  assert.match(cluster.log(HOME, "tesela-engine"), new RegExp(`lost its user area and was killed","pid":${large.pid},`));
  assert.equal(engineOf(HOST), engineBefore);
  assert.equal(await whereIs(cluster, small.pid), HOST);
  tell(small);
  assert.equal((await small.end()).status, 0);
});

test("guests are in a control group of their own, which goes with the engine", { skip }, async (t) => {
  const { dirs, missing } = groups(HOST);
  if (dirs.length === 0) {
    t.skip(`no control group can be made here: ${missing}`);
    return;
  }
  const said = (file: string): string[] =>
    dirs.filter((d) => existsSync(`${d}/${file}`)).map((d) => readFileSync(`${d}/${file}`, "utf8").trim());
  for (const [name, files] of [
    ["pids", { "pids.max": MOST_GUESTS * 16 + 256 }],
    ["memory", { "memory.max": MEMORY, "memory.limit_in_bytes": MEMORY }],
    ["cpu", { "cpu.weight": WEIGHT, "cpu.shares": Math.round((1024 * WEIGHT) / 100) }],
  ] as const) {
    if (missing.includes(name)) continue;
    const values = Object.entries(files).flatMap(([file, want]) => said(file).map((v) => [v, String(want)]));
    assert.ok(values.length > 0 && values.every(([have, want]) => have === want), `${name}: ${JSON.stringify(values)}`);
  }
  await stopEngine(HOST);
  assert.deepEqual(
    dirs.filter((d) => existsSync(d)),
    [],
  );
  await cluster.start(HOST, "tesela-engine");
  await until("the engine", () => engineOf(HOST) !== null);
  await until("its group", () => groups(HOST).dirs.length === dirs.length);
});
