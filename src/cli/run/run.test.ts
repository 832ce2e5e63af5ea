import assert from "node:assert/strict";
import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const TESELA = fileURLToPath(new URL("../../../bin/tesela", import.meta.url));

class Dir implements Disposable {
  readonly path: string = mkdtempSync(join(tmpdir(), "tesela-"));
  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/**
 * What a program can see of how it was started, by the files of proc(5). The status comes first: dash resets its own mask later.
 * `State` is how the shell waits for `cat` at the moment `cat` looks, not how it was started. Fields 40 and 41 are its scheduling; the
 * next is the time that it has waited for a disk.
 */
const SHOW = `
  status=$(cat /proc/$$/status)
  cat /proc/$$/environ | tr '\\0\\n' '\\n~' | sort
  grep -v -E '^(Name|State|Tgid|Ngid|Pid|NSpid|NStgid|NSpgid|NSsid|Vm|Rss|Huge|voluntary|nonvoluntary|SigQ|Threads|Speculation|CoreDumping|FDSize)' <<EOF
$status
EOF
  cat /proc/$$/limits /proc/$$/oom_score_adj /proc/$$/timerslack_ns /proc/$$/personality
  for fd in /proc/$$/fd/*; do echo "\${fd##*/} $(readlink "$fd")"; grep flags /proc/$$/fdinfo/\${fd##*/}; done
  readlink /proc/$$/cwd
  cut -d' ' -f 4-9,18-20,40,41 /proc/$$/stat
  [ "$(tr '\\0' ' ' </proc/$$/cmdline)" ] && echo "$0" "$@"
`;

/** An unusual place to be started in: limits, mask, ignored and blocked signals, descriptors, directory, environment. */
const PLACE = `
  ulimit -Sn 333; ulimit -c 0; umask 027; cd "$1"; exec 5<"$1" 7>"$1/out" 0<"$1/show" 2>&-
  trap '' HUP; trap '' XFSZ; BYTES=$(printf '\\377\\376'); export BYTES; unset PWD OLDPWD; shift
  exec env --block-signal=USR2 --block-signal=PIPE a.b=dots 'BASH_FUNC_f%%=() {  echo f; }' "$@"
`;

/** Beyond what Node looks after at its start. */
const FAR_FD = 40;

function show(dir: string, start: readonly string[]): string[] {
  writeFileSync(join(dir, "show"), SHOW);
  const env = {
    PATH: process.env["PATH"],
    TESELA_RUN: dir,
    HOME: dir,
    root: "/mine",
    a: "b",
    node: "x'y\nz",
    IFS: "q",
    NODE_OPTIONS: "--no-such-option",
    EMPTY: "",
  };
  const args = ["-c", PLACE, "sh", dir, ...start, "sh", "-c", SHOW, "arg 0", "a  b", "*"];
  const far = openSync(join(dir, "show"), "r+");
  const stdio = Array.from({ length: FAR_FD + 1 }, (_, fd) => (fd === 1 ? "pipe" : fd === FAR_FD ? far : "ignore"));
  const done = spawnSync("/bin/sh", args, { env, encoding: "latin1", stdio });
  closeSync(far);
  assert.equal(done.status, 0, `${done.stdout} ${done.signal}`);
  // Pipes are new ones each time, and `_` is what shells set it to.
  const lines = done.stdout.replace(/(pipe|socket):\[\d+\]/g, "$1").split("\n");
  return lines.filter((line) => !line.startsWith("_="));
}

test("a program started through `tesela run` sees just what it would see without", () => {
  using dir = new Dir();
  const direct = show(dir.path, []);
  const through = show(dir.path, [TESELA, "run"]);
  assert.deepEqual(through, direct);
  const text = direct.join("\n");
  for (const shown of [
    "SigBlk:\t0000000000001800",
    "Max open files            333",
    "BASH_FUNC_f%%",
    "node=x'y~z",
    "root=/mine",
    "Umask:\t0027",
  ]) {
    assert.ok(text.includes(shown), `${shown} in\n${text}`);
  }
});

test("same PID, peak memory of its own, stdin untouched", () => {
  using dir = new Dir();
  const run = (args: string[], input = ""): SpawnSyncReturns<string> =>
    spawnSync("/bin/sh", ["-c", 'echo $$; exec "$@"', "sh", ...args], {
      encoding: "utf8",
      input,
      env: { ...process.env, TESELA_RUN: dir.path },
    });
  const [shell, program] = run([TESELA, "run", "sh", "-c", "echo $$"]).stdout.split("\n");
  assert.equal(program, shell);
  assert.match(run([TESELA, "run", "cat"], "every byte\n").stdout, /\nevery byte\n$/);
  const peak = /VmHWM:\s*(\d+)/.exec(run([TESELA, "run", "cat", "/proc/self/status"]).stdout);
  assert.ok(Number(peak?.[1]) < 20_000, "peak resident size in kB");
});

test("exit statuses are the program's, and a shell's where there is none", () => {
  using dir = new Dir();
  writeFileSync(join(dir.path, "script"), "echo script $1", { mode: 0o755 });
  writeFileSync(join(dir.path, "data"), "no program", { mode: 0o644 });
  const env = { ...process.env, TESELA_RUN: dir.path, PATH: `${dir.path}:${process.env["PATH"]}` };
  const run = (...args: string[]): SpawnSyncReturns<string> => spawnSync(TESELA, ["run", ...args], { encoding: "utf8", env });
  assert.equal(run("sh", "-c", "exit 7").status, 7);
  assert.equal(run("sh", "-c", "kill -TERM $$").signal, "SIGTERM");
  assert.equal(run("script", "one").stdout, "script one\n", "without #! it is a shell script, as for execvp");
  const none = run("no-such-program");
  assert.deepEqual([none.status, none.stderr], [127, "tesela: no-such-program: command not found\n"]);
  assert.deepEqual([run("data").status, run(join(dir.path, "data")).status, run("/").status, run("/no/such").status], [126, 126, 126, 127]);
  assert.equal(run("").status, 127);
  assert.equal(run("--", "sh", "-c", "exit 3").status, 3);
});

test("a node that is not available is an error, unless forced; so is bad usage", () => {
  using dir = new Dir();
  const env = { ...process.env, TESELA_RUN: dir.path };
  const run = (...args: string[]): SpawnSyncReturns<string> => spawnSync(TESELA, ["run", ...args], { encoding: "utf8", env });
  const away = run("-N", "2", "echo", "x");
  assert.deepEqual([away.status, away.stdout], [1, ""]);
  assert.match(away.stderr, /^tesela: teselad does not run on this node \(.*\)\n$/);
  assert.equal(run("-F", "-N", "2", "echo", "x").stdout, "x\n");
  assert.equal(run("-Fj1-4,7", "echo", "x").stdout, "x\n");
  assert.equal(run("-h", "echo", "-N", "2").stdout, "-N 2\n", "options end at the program's name");
  for (const bad of [
    [],
    ["-F", "x"],
    ["-h", "-N", "2", "x"],
    ["-j", "4-1", "x"],
    ["-j", "a", "x"],
    ["-b", "-h", "x"],
    ["-l", "-L", "x"],
    ["-c", "-i", "x"],
    ["-s", "--no-decay", "x"],
    ["-t", "5", "x"],
    ["-t", "5", "-d", "1001", "x"],
    ["-t", "5", "-d", "900", "-f", "x"],
    ["--nodes", "0", "x"],
    ["--nodes", "1", "--not", "2", "x"],
    ["-m", "0", "x"],
    ["-m", "much", "x"],
    ["-Z", "x"],
    ["-N"],
  ]) {
    const done = run(...bad);
    assert.equal(done.status, 2, bad.join(" "));
    assert.match(done.stderr, /^tesela: [^\n]+\n$/);
  }
  for (const room of [["-q"], ["-m", "5"], ["-q", "-m5", "-N", "2"]]) {
    const done = run(...room, "echo", "x");
    assert.deepEqual([done.status, done.stdout], [1, ""]);
    assert.match(done.stderr, /^tesela: teselad does not run on this node/);
  }
  assert.equal(run("-q", "-F", "-N", "2", "echo", "x").stdout, "x\n");
  assert.equal(run("-c", "-t", "5", "-d", "900", "--not", "3", "echo", "x").stdout, "x\n");
  assert.equal(run("-b", "echo", "x").stdout, "x\n", "here is the best node that is known");
  assert.match(run("--help").stdout, /^tesela run - start a program that may move\n/);
});

test("without the launcher it becomes the launcher first", () => {
  using dir = new Dir();
  const main = fileURLToPath(new URL("../main.ts", import.meta.url));
  const done = spawnSync(process.execPath, [main, "run", "echo", "a  b"], {
    encoding: "utf8",
    env: { ...process.env, TESELA_RUN: dir.path },
  });
  assert.equal(done.stdout, "a  b\n");
});
