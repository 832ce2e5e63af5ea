import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Log } from "../base/mod.ts";
import { Levelled } from "./levelled.ts";
import { LiveSettings } from "./live-settings.ts";
import { programOf, scopeOf, wantedBy } from "./scope.ts";

const SLEEP = realpathSync("/bin/sleep");

/** Stands for teselad, which has no children: this process has some. */
const NOBODY = 4_100_000;

class Setting implements AsyncDisposable {
  readonly dir = mkdtempSync(join(tmpdir(), "tesela-"));
  readonly live: LiveSettings;
  private readonly children: ChildProcess[] = [];
  constructor() {
    this.configure("levelled", "");
    this.live = new LiveSettings(new Log({ level: "warn" }), this.file);
  }
  private get file(): string {
    return join(this.dir, "tesela.toml");
  }
  configure(scope: string, list: string): void {
    writeFileSync(join(this.dir, "list"), list);
    writeFileSync(this.file, `[balance]\nscope = "${scope}"\nloadlevellist = "${this.dir}/list"\n`);
    this.live?.reload();
  }
  levelled(enginePid: number | null = null): Levelled {
    return new Levelled(
      join(this.dir, "levelled.json"),
      1,
      scopeOf(this.live, () => enginePid, NOBODY),
    );
  }
  /** A program that nobody else runs: what started this test may be a shell, too. */
  ownShell(): string {
    const path = join(realpathSync(this.dir), "shell");
    copyFileSync("/bin/sh", path);
    return path;
  }
  /** Resolves when it has become the program. */
  async start(program: string, ...args: string[]): Promise<number> {
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "ignore"], detached: true });
    this.children.push(child);
    await once(child, "spawn");
    return child.pid ?? 0;
  }
  /** The first that it prints. */
  async said(pid: number): Promise<string> {
    const stdout = this.children.find((c) => c.pid === pid)?.stdout;
    assert.ok(stdout);
    const [part] = (await once(stdout, "data")) as [Buffer];
    return part.toString();
  }
  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.children) {
      // Its group, which is its own: a shell's children are in it.
      if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) process.kill(-child.pid, "SIGKILL");
      if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    }
    rmSync(this.dir, { recursive: true });
  }
}

test("a program of the loadlevellist is levelled by its executable, with its children, until it ends", async () => {
  await using s = new Setting();
  const sleeper = await s.start("sleep", "1000");
  const levelled = s.levelled();
  levelled.sample();
  assert.equal(levelled.has(sleeper), false, "nothing is listed yet");
  assert.equal(levelled.grows, false);
  s.configure("levelled", `# programs\n${SLEEP}\n`);
  assert.equal(levelled.grows, true);
  levelled.sample();
  assert.ok(levelled.has(sleeper));
  assert.ok(!levelled.has(process.pid) && !levelled.has(1));
  s.configure("levelled", "");
  levelled.sample();
  assert.ok(levelled.has(sleeper), "it is, until it ends");
  const again = s.levelled();
  again.sample();
  assert.ok(again.has(sleeper), "over a restart, too");
  process.kill(sleeper, "SIGKILL");
  while (programOf(sleeper) !== null) await new Promise((r) => setTimeout(r, 5));
  again.sample();
  assert.equal(again.has(sleeper), false);
});

test("children of a listed program are levelled, and what begins is at once", async () => {
  await using s = new Setting();
  const shell = await s.start(s.ownShell(), "-c", "sleep 1000 & echo $!; wait");
  const child = Number(await s.said(shell));
  const program = programOf(shell) ?? "";
  const levelled = s.levelled();
  s.configure("levelled", program);
  const stranger = await s.start("sleep", "1000");
  assert.equal(levelled.begins(stranger, SLEEP), false);
  assert.equal(levelled.begins(shell, program), true);
  assert.equal(levelled.begins(4_000_000, program), false);
  levelled.sample();
  assert.ok(levelled.has(shell) && levelled.has(child) && !levelled.has(stranger));
});

test("the engine is not its starter's child, and neither are guests", async () => {
  await using s = new Setting();
  const engine = await s.start(s.ownShell(), "-c", "sleep 1000 & echo $!; wait");
  const guest = Number(await s.said(engine));
  const levelled = s.levelled(engine);
  levelled.add(process.pid);
  levelled.sample();
  const other = await s.start("sleep", "1000");
  levelled.sample();
  assert.deepEqual(
    [engine, guest, other].map((pid) => levelled.has(pid)),
    [false, false, true],
  );
  assert.deepEqual(
    [engine, guest, other].map((pid) => levelled.discover(pid)),
    [false, false, true],
  );
});

test("with scope all every user process is a candidate, as long as that holds, and none that the node stands on", async () => {
  await using s = new Setting();
  const [sleeper, engine] = [await s.start("sleep", "1000"), await s.start("sleep", "1001")];
  // On the Node that runs Tesela, so one of Tesela's for all that can be known.
  const tesela = await s.start(process.execPath, "-e", "setTimeout(() => {}, 1e6)");
  const levelled = s.levelled(engine);
  s.configure("all", "");
  levelled.sample();
  assert.ok(levelled.has(sleeper));
  for (const pid of [1, 2, process.pid, engine, tesela]) assert.equal(levelled.has(pid), false, `process ${pid}`);
  assert.equal(levelled.begins(engine, SLEEP), false);
  assert.equal(levelled.isLocked(sleeper), false);
  s.configure("levelled", "");
  levelled.sample();
  assert.equal(levelled.has(sleeper), false, "nobody meant it");
});

test("who was started to be levelled stays so when the scope narrows, and what is locked stays locked", async () => {
  await using s = new Setting();
  const [meant, listed] = [await s.start("sleep", "1000"), await s.start(s.ownShell(), "-c", "sleep 1000; :")];
  const levelled = s.levelled();
  s.configure("all", "");
  levelled.sample();
  levelled.add(meant, true);
  s.configure("all", programOf(listed) ?? "");
  levelled.sample();
  s.configure("levelled", "");
  levelled.sample();
  assert.ok(levelled.has(meant) && levelled.isLocked(meant));
  assert.ok(levelled.has(listed), "the list counts for more than being one of all");
});

test("the list counts before all, and who is spared is so in any case", () => {
  const scope = { all: true, programs: new Set([SLEEP]), spared: (pid: number) => pid === 7, daemons: () => [] };
  assert.equal(wantedBy(scope, 7, SLEEP), null);
  assert.equal(wantedBy(scope, 8, SLEEP), "list");
  assert.equal(wantedBy(scope, 8, "/x"), "all");
  assert.equal(wantedBy(scope, 8, null), null);
  assert.equal(programOf(4_000_000), null);
  assert.equal(programOf(process.pid), process.execPath);
});
