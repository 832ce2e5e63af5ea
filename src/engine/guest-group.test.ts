import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { GiB, Log, MiB, toTeselaError } from "../base/mod.ts";
import { findPlaces, GuestGroup, type Place } from "./guest-group.ts";
import { defaultMemory, type GuestLimits, readGuestLimits } from "./guest-limits.ts";

const LIMITS: GuestLimits = { processes: 10, tasks: 100, memory: 160 * MiB, weight: 10, group: true };
const v2 = "30 20 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw";
const v1 = (...names: string[]): string => names.map((n) => `40 20 0:30 / /sys/fs/cgroup/${n} rw - cgroup cgroup rw,${n}`).join("\n");

/** A directory of this test's own. */
class Dir implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "tesela-group-"));
  readonly log = new Log({ level: "info", fd: openSync(`${this.path}/log`, "a") });
  make(name: string, files: Readonly<Record<string, string>>): string {
    const dir = `${this.path}${name}`;
    mkdirSync(dir, { recursive: true });
    for (const [file, text] of Object.entries(files)) writeFileSync(`${dir}/${file}`, text);
    return dir;
  }
  read(file: string): string {
    return readFileSync(`${this.path}${file}`, "utf8");
  }
  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

test("control groups are found in both versions, and in both at once", () => {
  const all = ["pids", "memory", "cpu"];
  assert.deepEqual(findPlaces(v2, "0::/system.slice/a.service\n"), [
    { version: 2, controllers: all, own: "/sys/fs/cgroup/system.slice/a.service" },
  ]);
  assert.deepEqual(findPlaces(v2, "0::/\n")[0]?.own, "/sys/fs/cgroup");
  assert.deepEqual(findPlaces(v2, "0::/../../b\n")[0]?.own, "/sys/fs/cgroup", "what a namespace hides");
  assert.deepEqual(findPlaces("30 20 0:26 /docker/7 /sys/fs/cgroup rw - cgroup2 c rw", "0::/docker/7/x\n")[0]?.own, "/sys/fs/cgroup/x");
  assert.deepEqual(findPlaces(`${v1("memory", "pids")}\n${v1("blkio")}\n${v2}`, "5:memory:/m\n4:pids:/\n0::/\n"), [
    { version: 1, controllers: ["memory"], own: "/sys/fs/cgroup/memory/m" },
    { version: 1, controllers: ["pids"], own: "/sys/fs/cgroup/pids" },
    { version: 2, controllers: ["cpu"], own: "/sys/fs/cgroup" },
  ]);
  assert.deepEqual(findPlaces("", ""), []);
});

test("version 2: below the engine's own group, or beside it where that is no way out of a limit", () => {
  using dir = new Dir();
  const passes = { "cgroup.controllers": "cpu memory pids", "cgroup.subtree_control": "cpu memory pids\n" };
  const place = (own: string): Place => ({ version: 2, controllers: ["pids", "memory", "cpu"], own: `${dir.path}${own}` });
  dir.make("/own", passes);
  assert.equal(GuestGroup.make("g", LIMITS, [place("/own")], dir.log).limited.size, 3);
  assert.equal(dir.read("/own/g/pids.max"), "100");
  assert.equal(dir.read("/own/g/memory.max"), String(160 * MiB));
  assert.equal(dir.read("/own/g/memory.high"), String(150 * MiB));
  assert.equal(dir.read("/own/g/cpu.weight"), "10");
  assert.equal(dir.read("/log"), "");

  // A group that has processes: what is written to its subtree_control does not show.
  dir.make("/slice", passes);
  dir.make("/slice/service", { "cgroup.controllers": "", "cgroup.subtree_control": "", "memory.max": "max\n" });
  assert.deepEqual([...GuestGroup.make("g", LIMITS, [place("/slice/service")], dir.log).dirs], [`${dir.path}/slice/g`]);
  dir.make("/slice/limited", { "cgroup.controllers": "", "cgroup.subtree_control": "", "memory.max": "1000000\n" });
  const none = GuestGroup.make("h", LIMITS, [place("/slice/limited")], dir.log);
  assert.deepEqual([none.dirs.length, none.limited.size, existsSync(`${dir.path}/slice/h`)], [0, 0, false]);
  assert.equal(dir.read("/log").match(/"missing":"pids memory cpu"/g)?.length, 1, "said once");
  none.add(process.pid);
  assert.equal(none.room, Number.POSITIVE_INFINITY);
});

test("a real group holds what it is given, and takes it along when it goes", async (t) => {
  using dir = new Dir();
  const places = findPlaces(readFileSync("/proc/self/mountinfo", "utf8"), readFileSync("/proc/self/cgroup", "utf8"));
  const group = GuestGroup.make(`tesela-test-${process.pid}`, LIMITS, places, dir.log);
  if (group.dirs.length === 0) {
    t.skip("no control group can be made here");
    return;
  }
  const sleeper = spawn("sleep", ["60"]);
  const ended = once(sleeper, "exit");
  try {
    group.add(sleeper.pid ?? 0);
  } catch (e) {
    sleeper.kill("SIGKILL");
    await ended;
    await group[Symbol.asyncDispose]();
    t.skip(`nothing can be put into a control group here: ${String(e)}`);
    return;
  }
  const again = GuestGroup.make(`tesela-test-${process.pid}`, LIMITS, places, dir.log);
  assert.deepEqual(again.dirs, group.dirs, "what a killed engine has left is used again");
  assert.ok(group.room > 0 && (group.limited.has("memory") ? group.room <= LIMITS.memory : group.room === Number.POSITIVE_INFINITY));
  for (const d of group.dirs) assert.match(readFileSync(`${d}/cgroup.procs`, "utf8"), new RegExp(`^${sleeper.pid}$`, "m"));
  await group[Symbol.asyncDispose]();
  assert.deepEqual(await ended, [null, "SIGKILL"]);
  assert.deepEqual(
    group.dirs.filter((d) => existsSync(d)),
    [],
  );
});

test("limits are what suits most, or what is asked for", () => {
  const usual = readGuestLimits({});
  assert.ok(usual.processes > 0 && usual.tasks > usual.processes && usual.weight === 10 && usual.group);
  assert.deepEqual([64 * GiB, 2 * GiB, 512 * MiB].map(defaultMemory), [60 * GiB, 2 * GiB - 256 * MiB, 384 * MiB]);
  const env = { TESELA_GUEST_PROCESSES: "3", TESELA_GUEST_MEMORY: "1000000", TESELA_GUEST_WEIGHT: "100", TESELA_GUEST_GROUP: "off" };
  assert.deepEqual(readGuestLimits(env), { processes: 3, tasks: 304, memory: 1_000_000, weight: 100, group: false });
  const settings = { processes: 5, memory: 2_000_000, weight: 50, group: false };
  assert.deepEqual(readGuestLimits({}, settings), { processes: 5, tasks: 336, memory: 2_000_000, weight: 50, group: false });
  assert.deepEqual(readGuestLimits({ TESELA_GUEST_WEIGHT: "20", TESELA_GUEST_GROUP: "on" }, settings), {
    ...{ processes: 5, tasks: 336, memory: 2_000_000 },
    ...{ weight: 20, group: true },
  });
  for (const bad of [
    { TESELA_GUEST_PROCESSES: "0" },
    { TESELA_GUEST_WEIGHT: "101" },
    { TESELA_GUEST_MEMORY: "1G" },
    { TESELA_GUEST_GROUP: "x" },
  ]) {
    assert.throws(
      () => readGuestLimits(bad),
      (e) => toTeselaError(e).code === "E_CONFIG",
    );
  }
});
