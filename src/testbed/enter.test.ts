import assert from "node:assert/strict";
import { execFileSync, type SpawnSyncReturns, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type EnterRequest, enterArguments, enterProgram } from "./enter.ts";
import { ENTER_SOURCE } from "./enter-code.ts";

const ELF_HEADERS = 120;
let dir = "";
let program = "";
before(() => {
  dir = mkdtempSync(join(tmpdir(), "tesela-enter-"));
  program = join(dir, "tesela-enter");
  writeFileSync(program, enterProgram(), { mode: 0o755 });
});
after(() => rmSync(dir, { recursive: true }));

const PLAIN = { pid: 0, namespaces: 0, cpu: null, nofile: null, ignored: 0n, cwd: "/", path: "/usr/bin:/bin", message: "not run\n" };
const args = (argv: [string, ...string[]], more: Partial<EnterRequest> = {}): string[] =>
  enterArguments({ ...PLAIN, argv, ...more }).slice(1);
const run = (argv: [string, ...string[]], more: Partial<EnterRequest> = {}): SpawnSyncReturns<string> =>
  spawnSync(program, args(argv, more), { encoding: "utf8", input: "in\n", timeout: 20_000 });
const sh = (script: string, more: Partial<EnterRequest> = {}): SpawnSyncReturns<string> => run(["sh", "-c", script], more);

test("the machine code is what its listing assembles to", () => {
  writeFileSync(join(dir, "enter.s"), `.intel_syntax noprefix\n${ENTER_SOURCE}`);
  execFileSync("as", ["--64", "enter.s", "-o", "enter.o"], { cwd: dir });
  execFileSync("objcopy", ["-O", "binary", "-j", ".text", "enter.o", "enter.bin"], { cwd: dir });
  assert.equal(enterProgram().subarray(ELF_HEADERS).toString("hex"), readFileSync(join(dir, "enter.bin")).toString("hex"));
});

test("status, signals, descriptors, directory", () => {
  assert.equal(sh("exit 0").status, 0);
  assert.equal(sh("exit 7").status, 7);
  assert.equal(sh("exit 255").status, 255);
  assert.equal(sh("kill -9 $$").status, 137);
  assert.equal(sh("ulimit -c 0; kill -SEGV $$").status, 139);
  assert.equal(sh("kill -INT $$").status, 130);
  const done = sh("cat; pwd; echo err >&2", { cwd: "/usr" });
  assert.equal(done.stdout, "in\n/usr\n");
  assert.equal(done.stderr, "err\n");
});

test("programs are looked for as a shell would", () => {
  assert.equal(run(["true"]).status, 0);
  assert.equal(run(["/bin/sh", "-c", "exit 3"]).status, 3);
  const missing = run(["no-such-program"]);
  assert.equal(missing.status, 127);
  assert.equal(missing.stderr, "not run\n");
  assert.equal(run([""]).status, 127);
  writeFileSync(join(dir, "plain"), "x", { mode: 0o644 });
  assert.equal(run(["plain"], { path: dir }).status, 126);
  assert.equal(run(["./plain"], { cwd: dir }).status, 126);
  assert.equal(run(["true"], { path: `${dir}/plain:/nowhere:/usr/bin:/bin` }).status, 0);
});

test("a missing directory and a process that is not there are said", () => {
  assert.match(run(["true"], { cwd: "/nowhere" }).stderr, /working directory/);
  assert.equal(run(["true"], { cwd: "/nowhere" }).status, 1);
  assert.match(run(["true"], { pid: 4194303, namespaces: 0x04000000 }).stderr, /cannot be entered/);
});

test("CPU, open files and ignored signals are set for the program", () => {
  assert.match(sh("grep Cpus_allowed_list /proc/self/status", { cpu: 0 }).stdout, /:\t0\n/);
  assert.equal(sh("ulimit -Sn", { nofile: 77 }).stdout, "77\n");
  const ignored = (mask: bigint): string => /SigIgn:\t([0-9a-f]+)/.exec(sh("cat /proc/self/status", { ignored: mask }).stdout)?.[1] ?? "";
  assert.equal(BigInt(`0x${ignored(0n)}`), 0n);
  assert.equal(BigInt(`0x${ignored(0x8000000000000001n)}`), 0x8000000000000001n);
});

test("signals to the waiter reach the program; its death kills the program", { timeout: 20_000 }, async () => {
  const script = 'trap "echo usr; exit 5" USR1; echo $$; while :; do sleep 0.05; done';
  const first = spawn(program, args(["sh", "-c", script]), { stdio: ["ignore", "pipe", "inherit"] });
  await once(first.stdout, "data");
  first.kill("SIGUSR1");
  assert.deepEqual(await once(first, "exit"), [5, null]);
  const second = spawn(program, args(["sh", "-c", script]), { stdio: ["ignore", "pipe", "inherit"] });
  const pid = Number(String((await once(second.stdout, "data"))[0]));
  second.kill("SIGKILL");
  await once(second.stdout, "close");
  // A process that dies closes its files before it is seen as dead.
  const lives = (): boolean => existsSync(`/proc/${pid}`) && !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  const end = performance.now() + 10_000;
  while (lives() && performance.now() < end) await sleep(5);
  assert.equal(lives(), false);
});
