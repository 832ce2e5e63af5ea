import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Log, nodeId } from "../base/mod.ts";
import { PLACE_KNOBS, type NodeView } from "../balance/mod.ts";
import { SeededRandom } from "../io/mod.ts";
import { ExecPlacement, mountsWithPrograms, newLines } from "./exec-placement.ts";
import { Levelled } from "./levelled.ts";

const GUARD_MS = 20_000;

test("programs are looked for where they can lie", () => {
  const text = [
    "22 27 0:21 / /proc rw,relatime - proc proc rw",
    "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw",
    "30 27 0:28 / /tmp rw,noexec,nosuid shared:3 - tmpfs tmpfs rw",
    "31 27 254:1 / /my\\040disk rw shared:4 master:1 - xfs /dev/vdb rw",
    "",
  ].join("\n");
  assert.deepEqual(mountsWithPrograms(text), ["/", "/my disk"]);
});

test("of mounts that came later only the new ones are watched, also one over another", () => {
  const root = "22 1 8:1 / / rw - ext4 /dev/sda1 rw";
  const [over, gone, same] = [
    "90 22 0:50 / /opt rw - tmpfs none rw",
    "80 22 0:40 / /mnt rw - ext4 /dev/sdb rw",
    "70 22 0:41 / /opt rw - ext4 x rw",
  ];
  const before = [root, gone, same].join("\n");
  assert.deepEqual(mountsWithPrograms(newLines("", before)), ["/", "/mnt", "/opt"]);
  assert.deepEqual(mountsWithPrograms(newLines(before, [root, same, over].join("\n"))), ["/opt"]);
  assert.equal(newLines(before, before), "");
});

class Heard extends Levelled {
  readonly paths: string[] = [];
  override get grows(): boolean {
    return true;
  }
  override begins(_pid: number, path: string): boolean {
    this.paths.push(path);
    return false;
  }
}

const skip = process.getuid?.() === 0 ? false : "only root mounts, and watches mounts";
test("programs on a mount that came after the watch are heard of", { skip }, async () => {
  await using stack = new AsyncDisposableStack();
  const dir = realpathSync(mkdtempSync(join(tmpdir(), "tesela-")));
  stack.defer(() => rmSync(dir, { recursive: true }));
  const levelled = new Heard(join(dir, "levelled.json"), 1);
  const self: NodeView = {
    ...{ id: nodeId(1), cpus: 1, speed: 10_000, load: 0, memTotal: 1, memFree: 1, ageMs: 0 },
    ...{ accepts: true, bandwidth: 1, rttMs: 1 },
  };
  const placement = stack.use(
    new ExecPlacement({
      ...{ self: 1, levelled, random: new SeededRandom(1), log: new Log({ fd: -1 }), habitsFile: join(dir, "habits.json") },
      ...{ knobs: () => PLACE_KNOBS, view: () => ({ self, others: [] }), open: () => true, send: () => Promise.resolve() },
    }),
  );
  placement.tick([], 0);
  const mount = join(dir, "later");
  mkdirSync(mount);
  const program = join(mount, "program");
  const begin = async (now: number, waitMs: number): Promise<boolean> => {
    placement.tick([], now);
    assert.equal(spawnSync(program).status, 0);
    for (const start = performance.now(); performance.now() - start < waitMs && !levelled.paths.includes(program); ) await sleep(20);
    return levelled.paths.includes(program);
  };
  assert.equal(spawnSync("mount", ["-t", "tmpfs", "none", mount]).status, 0);
  stack.defer(() => assert.equal(spawnSync("umount", [mount]).status, 0));
  copyFileSync("/bin/true", program);
  assert.equal(await begin(10, 1000), false, "it is looked for new mounts once a second");
  assert.equal(await begin(1000, GUARD_MS), true);
});
