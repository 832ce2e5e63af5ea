/** Programs on a pseudo-terminal that are moved while people type: echo, line editing, window size, job control. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { TeselaError } from "../../src/base/mod.ts";
import { cannot, startCluster, type TestCluster } from "./harness.ts";
import { findDescendant, homecomings, listen, migrate, outerPid, randomFrom, SEED, troubles, whereIs } from "./move.ts";
import { processState } from "./talk.ts";
import type { Terminal } from "./terminal.ts";

const skip = await cannot();
let cluster: TestCluster;
let said: (node: number) => string;

before(async () => {
  if (skip) return;
  cluster = await startCluster({ n: 3 });
  // Without it readline writes an escape sequence before each command's output.
  await cluster.sh(1, "echo set enable-bracketed-paste off >/tmp/inputrc");
  said = listen(cluster);
});
after(async () => {
  if (skip) return;
  await cluster[Symbol.asyncDispose]();
});

const PROMPT = "ready> ";
const ENV = { PS1: PROMPT, INPUTRC: "/tmp/inputrc", HISTFILE: "/dev/null" };
const bash = (): Promise<Terminal> => cluster.tty(1, ["bash", "--norc", "--noprofile"], { env: ENV });
const KEY = { left: "\x1b[D", up: "\x1b[A", home: "\x01", end: "\x05", backspace: "\x7f", killLine: "\x15", tab: "\t" } as const;
/** ^C, ^Z, ^\ and the end of input. */
const CONTROL = { c: "\x03", z: "\x1a", quit: "\x1c", d: "\x04" } as const;

const random = randomFrom(SEED);
const POLL_MS = 2;
const WAIT_MS = 30_000;

/** Moves a process to a node, or to any other. One that is on its way home of its own is waited for. */
async function move(pid: number, to?: number): Promise<number> {
  const end = performance.now() + WAIT_MS;
  for (;;) {
    const at = await whereIs(cluster, pid);
    const others = [1, 2, 3].filter((n) => n !== at);
    const target = to ?? (others[Math.floor(random() * others.length)] as number);
    if (at === target) return at;
    try {
      return (await migrate(cluster, pid, target)).to;
    } catch (e) {
      if (!(e instanceof TeselaError && ["E_BUSY", "E_EXISTS"].includes(e.code)) || performance.now() > end) throw e;
      await sleep(POLL_MS);
    }
  }
}

/** The process of a name below another, once it is there. */
async function child(outerPid: number, name: string): Promise<{ pid: number; outerPid: number }> {
  const end = performance.now() + WAIT_MS;
  for (;;) {
    const found = findDescendant(outerPid, name);
    if (found) return found;
    if (performance.now() > end) throw new Error(`no ${name} was started`);
    await sleep(POLL_MS);
  }
}

/** The PID of a terminal's program as this machine counts. */
const outer = (t: Terminal): number => outerPid(cluster, 1, t.pid);

/** What the engines did on their own since the last look, other than what has to be. */
function quiet(...allowed: string[]): void {
  const odd = homecomings(said(1)).filter((reason) => !allowed.includes(reason));
  assert.deepEqual([...odd, ...[1, 2, 3].flatMap((n) => troubles(said(n)))], [], `seed ${SEED}`);
  said = listen(cluster);
}

/** Types a line and waits for what it does. */
async function say(t: Terminal, line: string, answer: string | RegExp): Promise<void> {
  t.line(line);
  await t.expect(answer);
}

test("bash reads lines, with the terminal's own editing", { skip }, async () => {
  await using t = await bash();
  await t.expect(PROMPT);
  await say(t, `while read -r line; do echo "got <$line>"; done; echo "over: $?"`, "\n");
  for (let i = 0; i < 6; i++) {
    const at = await move(t.pid);
    t.type(`line ${i}`);
    await t.expect(`line ${i}`);
    await say(t, "", `got <line ${i}>`);
    t.type(`wrong${KEY.killLine}rig`);
    await move(t.pid, 1 + (at % 3));
    await say(t, `x${KEY.backspace}ht ${i}`, `got <right ${i}>`);
  }
  t.type(CONTROL.d);
  await t.expect("over: 0");
  quiet();
});

test("readline edits, completes and remembers", { skip }, async () => {
  await using t = await bash();
  await t.expect(PROMPT);
  await move(t.pid, 2);
  t.type(`echo =aX=${KEY.left}${KEY.left}`);
  await move(t.pid);
  await say(t, `b${KEY.backspace}c`, "\n=acX=\r");
  t.type(`garbage${KEY.killLine}`);
  await move(t.pid);
  await say(t, `cho =second=${KEY.home}e${KEY.end}=`, "\n=second==");
  t.type(KEY.up + KEY.up);
  await t.expect("acX=");
  await move(t.pid);
  await say(t, KEY.end + KEY.backspace, "\n=acX\r");
  t.type(`echo =$(<`);
  await move(t.pid);
  t.type(`/etc/hostna${KEY.tab}`);
  await t.expect("me");
  await move(t.pid);
  t.type(CONTROL.c);
  await t.expect(PROMPT);
  await say(t, "echo =$?=", "\n=130=");
  assert.notEqual(await whereIs(cluster, t.pid), undefined);
  quiet();
  await say(t, "exit 7", "exit");
  assert.equal(await t.ended, 7);
});

test("^C, ^Z, fg, bg, & and what $? says of them", { skip }, async () => {
  await using t = await bash();
  await t.expect(PROMPT);
  await move(t.pid, 3);
  t.line("cat");
  const cat = await child(outer(t), "cat");
  for (const i of [1, 2, 3]) {
    await move(cat.pid);
    await say(t, `to cat ${i}`, new RegExp(`to cat ${i}\\r\\nto cat ${i}\\r\\n`));
  }
  await move(cat.pid, 2);
  t.type(CONTROL.z);
  await t.expect("Stopped");
  await t.expect(PROMPT);
  // Stopped, and traced.
  assert.match(processState(cat.outerPid), /^[Tt]$/);
  await assert.rejects(move(cat.pid, 3), (e: unknown) => e instanceof TeselaError && e.code === "E_CANTMOVE");
  await say(t, "echo =$?=", "\n=148=");
  assert.equal(await whereIs(cluster, cat.pid), 2);
  await move(t.pid, 2);
  await say(t, "fg", "\ncat\r\n");
  await say(t, "more", /more\r\nmore\r\n/);
  await move(cat.pid, 3);
  await say(t, "yet more", /yet more\r\nyet more\r\n/);

  // In the background it may not read: the terminal stops it, wherever it runs.
  t.type(CONTROL.z);
  await t.expect("Stopped");
  await t.expect(PROMPT);
  await say(t, "bg", "cat &");
  await say(t, "", "Stopped");
  assert.equal(await whereIs(cluster, cat.pid), 3);
  await t.expect(PROMPT);
  await say(t, "fg", "\ncat\r\n");
  await say(t, "last", /last\r\nlast\r\n/);
  t.type(CONTROL.c);
  await t.expect(PROMPT);
  await say(t, "echo =$?=", "\n=130=");
  quiet("fork", "clone");
});

test("^\\ and the end of input reach what is moved", { skip }, async () => {
  await using t = await bash();
  await t.expect(PROMPT);
  await say(t, "ulimit -c 0", PROMPT);
  t.line("cat");
  const first = await child(outer(t), "cat");
  await move(first.pid, 2);
  await say(t, "hello", /hello\r\nhello\r\n/);
  t.type(CONTROL.quit);
  await t.expect("Quit");
  await say(t, "echo =$?=", "\n=131=");
  t.line("cat; echo =$?=");
  const second = await child(outer(t), "cat");
  await move(second.pid, 3);
  await say(t, "hello", /hello\r\nhello\r\n/);
  t.type(CONTROL.d);
  await t.expect("=0=");
  quiet();
});

test("jobs in the background end as they say", { skip }, async () => {
  await using t = await bash();
  await t.expect(PROMPT);
  const spin = "{ n = 0; while ((getline line < FILE) <= 0) { for (i = 0; i < 99999; i++) n += i; close(FILE) } exit line }";
  await say(t, `mawk -v FILE=/tmp/status 'BEGIN ${spin}' &`, /\[1\] \d+/);
  const worker = await child(outer(t), "mawk");
  await move(t.pid, 2);
  for (const to of [2, 3, 1, 3]) {
    await move(worker.pid, to);
    await say(t, `echo =$((${to} * 100))=`, `\n=${to * 100}=`);
  }
  assert.equal(await whereIs(cluster, t.pid), 2);
  await say(t, "jobs", /Running +mawk/);
  await say(t, "wait %1 & echo 9 >/tmp/status; wait %1; echo =$?=", "\n=9=");
  await say(t, "mawk 'BEGIN { while (1) n++ }' &", /\[\d\] \d+/);
  const endless = await child(outer(t), "mawk");
  await move(endless.pid, 3);
  await say(t, `kill %mawk; wait %mawk; echo =$?=`, "\n=143=");
  quiet("fork", "clone");
});

test("the window's size changes what is moved, too", { skip }, async () => {
  await using t = await bash();
  await t.expect(PROMPT);
  await say(t, "stty size", "24 80");
  await say(t, "trap 'echo =resized=' WINCH; while read -r line; do echo \"$line: done\"; done", "\n");
  await move(t.pid, 2);
  t.resize(30, 100);
  await say(t, "one", "=resized=");
  await t.expect("one: done");
  await move(t.pid, 3);
  t.type(CONTROL.d);
  await t.expect(PROMPT);
  await move(t.pid, 2);
  t.resize(31, 101);
  await say(t, "stty size", "31 101");
  await say(t, "shopt -s checkwinsize; /bin/true; echo =$LINES,$COLUMNS=", "\n=31,101=");
  quiet("fork", "clone");
});

test("bc is typed into", { skip }, async () => {
  await using t = await cluster.tty(1, ["bc", "-q"], { env: ENV });
  await move(t.pid, 2);
  await say(t, "2^100", "1267650600228229401496703205376");
  await move(t.pid, 3);
  t.line("define f(n) {");
  await move(t.pid, 2);
  t.line("  if (n < 2) return 1; return n * f(n - 1)");
  await move(t.pid, 1);
  t.line("}");
  await move(t.pid, 3);
  await say(t, "f(30)", "265252859812191058636308480000000");
  t.line("while (1) x = x + 1");
  await move(t.pid, 2);
  t.type(CONTROL.c);
  await t.expect(/interrupt/i);
  await move(t.pid);
  await say(t, "scale = 20; 1/7", ".14285714285714285714");
  await say(t, "1/0", /[Dd]ivide by zero/);
  await move(t.pid);
  t.line("quit");
  assert.equal(await t.ended, 0);
  quiet();
});

test("vi edits a file and saves it", { skip }, async () => {
  const file = "/tmp/edited";
  await cluster.sh(1, `seq 100 >${file}`);
  await using t = await bash();
  await t.expect(PROMPT);
  t.line(`vim.tiny -u NONE -i NONE -n ${file}`);
  await t.expect(/100L|100 lines/);
  const vi = await child(outer(t), "vim.tiny");
  await move(vi.pid, 2);
  t.type("ihello, ");
  await t.expect("hello, ");
  await move(vi.pid, 3);
  t.type("wurld\x1b");
  await t.expect("wurld");
  await move(vi.pid, 2);
  t.type(":s/wurld/world\r");
  await t.expect("world");
  // A smaller window is drawn anew, and scrolls.
  t.resize(10, 40);
  t.type(":echo '=' . &lines . ',' . &columns . '='\r");
  await t.expect("=10,40=");
  await move(vi.pid);
  t.type("G");
  await t.expect("100");
  t.type(CONTROL.z);
  await t.expect("Stopped");
  await t.expect(PROMPT);
  await move(t.pid, 3);
  await say(t, "echo =$?=", "\n=148=");
  t.line("fg");
  await t.expect("100");
  await move(vi.pid);
  t.type(`olast${KEY.backspace}\x1b:set showcmd?\r`);
  await t.expect("showcmd");
  await move(vi.pid, 2);
  t.type(":wq\r");
  await t.expect(PROMPT);
  await say(t, "echo =$?=", "\n=0=");
  const lines = (await cluster.sh(1, `cat ${file}`)).split("\n");
  assert.deepEqual([lines[0], lines.length, lines.slice(-2)], ["hello, world1", 101, ["100", "las"]]);
  quiet("fork", "clone");
});
