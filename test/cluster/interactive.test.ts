/** Programs on a terminal, and servers, that are moved while somebody uses them. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { program } from "../programs/build.ts";
import { cannot, startCluster, type TestCluster } from "./harness.ts";
import { toTeselaError } from "../../src/base/mod.ts";
import { migrate, type MoveOptions, outerPid, randomFrom, runMovedOften, runUnmoved, SEED, whereIs } from "./move.ts";
import { blocksIn, Talk } from "./talk.ts";

const skip = await cannot();
let cluster: TestCluster;
before(async () => {
  if (skip !== false) return;
  cluster = await startCluster({ n: 3 });
  await cluster.sh(1, "echo 'set enable-bracketed-paste off' > /tmp/inputrc");
  for (const name of ["echo-server", "pipes", "sigs-script"] as const) await cluster.sh(1, `cp ${program(name)} /tmp/${name}`);
});
/** Readline without the escapes that it puts around pasted text. */
const PLAIN = { INPUTRC: "/tmp/inputrc" };
after(async () => await cluster?.[Symbol.asyncDispose]());

test("bc, typed into: echo, line editing and ^C as at home", { skip }, async () => {
  await using terminal = await cluster.tty(1, ["bc", "-q"], { env: PLAIN });
  terminal.line("1+1");
  await terminal.expect(/1\+1\r\n2\r\n/);
  for (const node of [2, 3, 1, 2]) {
    await migrate(cluster, terminal.pid, node);
    terminal.line(`${node}*111`);
    await terminal.expect(new RegExp(`${node}\\*111\\r\\n${node * 111}\\r\\n`));
    // Backspace takes the wrong digit away, ^U the whole line.
    terminal.line("7*78\x7f");
    await terminal.expect(/\n49\r\n/);
    terminal.line("99999\x156*6");
    await terminal.expect(/\n36\r\n/);
  }
  terminal.line("while (1) x += 1");
  // The terminal forgets what has not been read by then.
  await terminal.expect(/x \+= 1\r\n/);
  await migrate(cluster, terminal.pid, 3);
  terminal.type("\x03");
  await terminal.expect(/interrupt/i);
  terminal.line("5+5");
  await terminal.expect(/\n10\r\n/);
  terminal.line("quit");
  assert.equal(await terminal.ended, 0);
});

test("a shell's job: ^Z, bg, fg, ^C and $? while it is away", { skip }, async () => {
  await using terminal = await cluster.tty(1, ["bash", "--norc", "-i"], { env: { PS1: "$ ", ...PLAIN } });
  await terminal.expect("$ ");
  terminal.line("cat");
  await terminal.expect("cat\r\n");
  const job = { pid: Number(await cluster.sh(1, `until pgrep -x -P ${terminal.pid} cat; do sleep 0.02; done`)) };
  await migrate(cluster, job.pid, 2);
  terminal.line("hello");
  await terminal.expect("hello\r\nhello\r\n");
  terminal.type("\x1a");
  await terminal.expect("Stopped");
  await terminal.expect("$ ");
  terminal.line("fg");
  await terminal.expect("fg\r\ncat\r\n");
  await migrate(cluster, job.pid, 3).catch(() => null);
  terminal.line("again");
  await terminal.expect("again\r\nagain\r\n");
  terminal.type("\x03");
  await terminal.expect("$ ");
  terminal.line("echo status=$?");
  await terminal.expect("status=130");
  terminal.line("exit");
  await terminal.ended;
});

test("bash itself, moved between its lines", { skip }, async () => {
  await using terminal = await cluster.tty(1, ["bash", "--norc", "-i"], { env: { PS1: "$ ", ...PLAIN } });
  await terminal.expect("$ ");
  for (const node of [2, 3, 2]) {
    await migrate(cluster, terminal.pid, node);
    terminal.line(`x=$((x + ${node})); echo "x is $x, pid $$"`);
    await terminal.expect(new RegExp(`x is \\d+, pid ${terminal.pid}`));
  }
  // A child brings it home; it goes away again after.
  terminal.line("ls /proc/self >/dev/null; echo listed=$?");
  await terminal.expect("listed=0");
  await migrate(cluster, terminal.pid, 3);
  terminal.line("echo total=$x");
  await terminal.expect("total=7");
  terminal.line("exit 9");
  assert.equal(await terminal.ended, 9);
});

const TIMES = 20;
const MOVES = 4;
/** Hang guard: a move takes as long as the machine does. */
const MOST_TIMES = 200;
const READ = 0;
const SELECT = 23;
const PSELECT6 = 270;
const PYTHON_PROMPT = `import readline
n = 0
while True:
  try: input('> ')
  except KeyboardInterrupt:
    n += 1; print('caught', n)`;
/** Waits in the middle of which ^C comes, on all sides of a move: the call that waited ends for each. */
const PROMPTS = [
  ["a handler that lets read(2) fail", ["/tmp/sigs-script"], "act 2", /handled 2 [^\r]*\r\neintr/, READ],
  ["bash's read, with a trap", ["bash", "-c", "trap 'echo caught' INT; while :; do read -r x; done"], "", /caught\r\n/, READ],
  ["Python's input()", ["/usr/bin/python3", "-c", PYTHON_PROMPT], "", /caught \d+\r\n> /, SELECT],
] as const;
for (const [title, argv, first, taken, call] of PROMPTS) {
  test(`^C at a prompt that moves is taken every time: ${title}`, { skip }, async (t) => {
    await using terminal = await cluster.tty(1, argv);
    if (first) {
      terminal.line(first);
      // A ^C before that would end it, or take the line away.
      await terminal.expect(`${first} was`);
    }
    const outer = outerPid(cluster, 1, terminal.pid);
    await blocksIn(outer, [call, PSELECT6]);
    const random = randomFrom(SEED);
    let done = false;
    let moves = 0;
    const moving = (async () => {
      while (!done) {
        const at = await whereIs(cluster, terminal.pid);
        const to = [1, 2, 3].filter((n) => n !== at)[random() < 0.5 ? 0 : 1] as number;
        await migrate(cluster, terminal.pid, to).then(
          () => moves++,
          (e: unknown) => assert.match(toTeselaError(e).message, /is being moved already/),
        );
        await sleep(40 * random());
      }
    })();
    try {
      for (let i = 0; i < TIMES || (moves < MOVES && i < MOST_TIMES); i++) {
        await blocksIn(outer, [call, PSELECT6]);
        await sleep(60 * random());
        terminal.type("\x03");
        await terminal.expect(taken);
      }
    } finally {
      done = true;
      await moving;
    }
    t.diagnostic(`seed ${SEED}: ${moves} moves`);
    assert(moves >= MOVES, `only ${moves} moves`);
  });
}

test("vi edits and saves a file across moves, and follows the window's size", { skip }, async () => {
  await cluster.sh(1, "printf 'first\\nsecond\\nthird\\n' > /tmp/text");
  await using terminal = await cluster.tty(1, ["vim.tiny", "-u", "NONE", "-N", "/tmp/text"], { rows: 24, columns: 80 });
  await terminal.expect("first");
  await migrate(cluster, terminal.pid, 2);
  terminal.type("ggoa new line");
  await terminal.expect("a new line");
  await migrate(cluster, terminal.pid, 3);
  terminal.type("\x1bGdd");
  terminal.resize(30, 100);
  // It draws down to rows that were not there before.
  await terminal.expect("\x1b[28;1H");
  await migrate(cluster, terminal.pid, 1);
  await migrate(cluster, terminal.pid, 2);
  terminal.type(":wq\r");
  assert.equal(await terminal.ended, 0);
  assert.equal(await cluster.sh(1, "cat /tmp/text"), "first\na new line\nsecond");
});

test("a TCP echo server keeps its connections and its port at home while it runs elsewhere", { skip }, async () => {
  await using server = await Talk.start(cluster, ["/tmp/echo-server"]);
  const port = Number((await server.next()).split(" ")[1]);
  const client = `exec 3<>/dev/tcp/10.88.0.1/${port}; for i in $(seq 1 400); do echo "line $i from $1" >&3; read -r got <&3; echo "$got"; done`;
  const talk = (node: number): Promise<string> => cluster.output(node, ["bash", "-c", client, "client", String(node)]);
  const clients = [1, 2, 3].map(talk);
  let done = false;
  const all = Promise.all(clients).finally(() => {
    done = true;
  });
  let moves = 0;
  for (let at = 0; !done; at++) {
    await migrate(cluster, server.pid, [2, 3, 1, 3, 2, 1][at % 6] ?? 2);
    moves++;
  }
  for (const [i, text] of (await all).entries()) {
    assert.equal(text, Array.from({ length: 400 }, (_, n) => `line ${n + 1} from ${i + 1}\n`).join(""));
  }
  assert(moves >= 2, `only ${moves} moves`);
});

for (const [title, script] of [
  ["FIFO pair", "mkdir f && /tmp/pipes fifo f ping 1000 & until [ -d f ]; do :; done; sleep 0.2; /tmp/pipes fifo f pong 1000; wait"],
  ["Unix socket pair", "mkdir u && /tmp/pipes unix u ping 1000 & until [ -d u ]; do :; done; sleep 0.2; /tmp/pipes unix u pong 1000; wait"],
] as const) {
  test(`a ${title} with one end moved loses nothing`, { skip }, async () => {
    const where = async (kind: string): Promise<{ cwd: string }> => {
      const cwd = `/tmp/${title.replaceAll(" ", "-")}.${kind}`;
      await cluster.sh(1, `mkdir ${cwd}`);
      return { cwd };
    };
    const want = await runUnmoved(cluster, script, await where("unmoved"));
    const moved = async (run: number): Promise<MoveOptions> => ({ name: "pipes", seed: SEED + run, ...(await where(`moved${run}`)) });
    for (const have of await runMovedOften(cluster, script, 2, moved)) {
      assert.deepEqual(have.stdout.split("\n").sort(), want.stdout.split("\n").sort());
      assert.equal(have.status, want.status);
    }
  });
}
