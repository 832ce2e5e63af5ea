/** The test programs build, and run unmoved as they should: otherwise a test that moves them would prove nothing. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { EXIT_UNAVAILABLE, program, type ProgramName, REFUSED } from "./build.ts";

const LIMIT_MS = 30_000;

interface Ended {
  readonly stdout: string;
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** Runs to the end; stderr has to be empty. */
function run(name: ProgramName, ...args: readonly string[]): Ended {
  // Deaths by signal are meant here, core files are not.
  const argv = ["-c", 'ulimit -c 0; exec "$0" "$@"', program(name), ...args];
  const { stdout, stderr, status, signal } = spawnSync("sh", argv, { encoding: "utf8", timeout: LIMIT_MS });
  assert.equal(stderr, "", name);
  return { stdout, status, signal };
}

/** A program that runs until it is told to end; whatever happens, it does not outlive its test. */
class Running implements AsyncDisposable {
  readonly child: ChildProcess;
  readonly lines: AsyncIterator<string>;

  constructor(name: ProgramName, ...args: readonly string[]) {
    this.child = spawn(program(name), args, { stdio: ["pipe", "pipe", "inherit"] });
    assert(this.child.stdout !== null);
    this.lines = createInterface({ input: this.child.stdout })[Symbol.asyncIterator]();
  }

  async line(): Promise<string | undefined> {
    const { value, done } = await this.lines.next();
    return done ? undefined : value;
  }

  async ended(): Promise<Ended> {
    if (this.child.exitCode === null && this.child.signalCode === null) await once(this.child, "exit");
    return { stdout: "", status: this.child.exitCode, signal: this.child.signalCode };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill("SIGKILL");
    await this.ended();
  }
}

const deterministic: readonly [ProgramName, readonly string[]][] = [
  ["memfill", ["16", "3"]],
  ["grows", ["16", "500", "0"]],
  ["memfill-static", ["16", "3"]],
  ["spin", ["3"]],
  ["spin-nopie", ["3"]],
  ["spin-musl", ["3"]],
  ["spin-pie", ["3"]],
  ["again", ["5"]],
  ["brk-mmap", ["20"]],
  ["places", ["1"]],
  ["pipes", ["pipe", "20"]],
  ["pipes", ["pair", "20"]],
  ["pipes", ["packets", "20"]],
  ["sendrecv", ["5"]],
  ["clocks", ["2"]],
  ["ends", ["200"]],
  ["wholes", ["1"]],
  ["fills", ["1"]],
  ["own-threads", ["5", "1"]],
  ["vdso", ["1"]],
  ["vdso", ["bad"]],
  ["own-view", ["5", "0", "mem"]],
  ["sigs-self", ["all", "1"]],
  ["threads", ["3", "1"]],
  ["threads", ["3", "2"]],
  ["threads", ["wait"]],
  ["threads", ["tasks"]],
  ["threads", ["apart"]],
  ["segv", ["recover"]],
  ["segv", ["altstack"]],
  ["segv", ["restart"]],
  ["segv", ["bus"]],
  ["fpe", ["catch"]],
];

for (const [name, args] of deterministic) {
  test(`${name} ${args.join(" ")}: ends well, twice with the same output`, () => {
    const first = run(name, ...args);
    assert.deepEqual({ status: first.status, signal: first.signal }, { status: 0, signal: null });
    assert.notEqual(first.stdout, "");
    assert.deepEqual(run(name, ...args), first);
  });
}

test("spin prints the same however it is linked", () => {
  const outputs = (["spin", "spin-nopie", "spin-musl", "spin-pie"] as const).map((name) => run(name, "2").stdout);
  assert.equal(new Set(outputs).size, 1);
});

test("files leaves nothing behind, and both libraries do the same", () => {
  const dir = mkdtempSync(join(tmpdir(), "tesela-programs-"));
  try {
    const first = run("files", dir, "10", "5");
    assert.equal(first.status, 0);
    assert.deepEqual(run("files-musl", dir, "10", "5"), first);
    assert.notEqual(run("files", dir, "10", "6").stdout, first.stdout);
    assert.deepEqual(readdirSync(dir), []);
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test("calls leaves nothing behind", () => {
  const dir = mkdtempSync(join(tmpdir(), "tesela-programs-"));
  try {
    const first = run("calls", dir, "10", "5");
    assert.equal(first.status, 0);
    assert.deepEqual(run("calls", dir, "10", "5"), first);
    assert.deepEqual(readdirSync(dir), []);
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test("pipes: two processes meet by FIFOs and by a Unix socket", async () => {
  const dir = mkdtempSync(join(tmpdir(), "tesela-programs-"));
  try {
    for (const kind of ["fifo", "unix"]) {
      await using pong = new Running("pipes", kind, dir, "pong", "20");
      const ping = run("pipes", kind, dir, "ping", "20");
      assert.match(ping.stdout, /^ready\nping 10\nping 20\nping digest [0-9a-f]{16}\n$/);
      assert.equal(await pong.line(), "ready");
      assert.match((await pong.line()) ?? "", /^pong digest [0-9a-f]{16}$/);
      assert.equal((await pong.ended()).status, 0);
    }
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test("deaths are what they say", () => {
  const deaths: [ProgramName, string[], NodeJS.Signals | number][] = [
    ["segv", ["die"], "SIGSEGV"],
    ["fpe", ["die"], "SIGFPE"],
    ["fpe", ["ill"], "SIGILL"],
    ["fpe", ["trap"], "SIGTRAP"],
    ["abort", ["abort"], "SIGABRT"],
    ["abort", ["kill", "0", "15"], "SIGTERM"],
    ["abort", ["exit", "0", "42"], 42],
  ];
  for (const [name, args, how] of deaths) {
    const ended = run(name, ...args);
    assert.equal(ended.signal ?? ended.status, how, `${name} ${args.join(" ")}`);
    assert.equal(ended.stdout, "ready\n");
  }
});

test("threads ends as its mode says, whichever thread ends it", () => {
  const ends: [readonly string[], NodeJS.Signals | number, string][] = [
    [["leader"], 7, "ready\nleaderless\nlast\n"],
    [["group"], 9, "ready\n"],
    [["return"], 6, "ready\n"],
    [["exec"], 5, "ready\nheir\n"],
    [["crash"], "SIGSEGV", "ready\n"],
    [["crash", "0", "15"], "SIGTERM", "ready\n"],
  ];
  for (const [args, how, said] of ends) {
    const ended = run("threads", ...args);
    assert.equal(ended.signal ?? ended.status, how, args.join(" "));
    assert.equal(ended.stdout, said);
  }
});

test("sigs prints the signals that come", async () => {
  for (const mode of ["wait", "spin", "read"]) {
    await using sigs = new Running("sigs", mode);
    assert.equal(await sigs.line(), "ready");
    for (const count of [1, 2]) {
      sigs.child.kill("SIGUSR1");
      assert.equal(await sigs.line(), `signal 10 code 0 pid ${process.pid} value 0 status 0 count ${count}`, mode);
    }
    if (mode === "read") {
      sigs.child.stdin?.write("a line\n");
      assert.equal(await sigs.line(), "line a line");
    }
    sigs.child.kill("SIGTERM");
    assert.match((await sigs.line()) ?? "", /^signal 15 /);
    assert.equal(await sigs.line(), "count 10 2");
    assert.equal(await sigs.line(), "count 15 1");
    assert.equal((await sigs.ended()).status, 0);
  }
});

/** Sends so many bytes, says it has no more, and gives back what came. */
async function echo(port: number, bytes: Buffer): Promise<Buffer> {
  const socket = connect(port, "127.0.0.1");
  const parts: Buffer[] = [];
  socket.on("data", (part: Buffer) => parts.push(part));
  socket.end(bytes);
  await once(socket, "close");
  return Buffer.concat(parts);
}

test("echo-server echoes to several clients at once", async () => {
  await using server = new Running("echo-server", "0");
  const port = Number(/^listening (\d+)$/.exec((await server.line()) ?? "")?.[1]);
  const blocks = [1, 2, 3, 4].map((n) => Buffer.alloc(n * 300_000, `client ${n} `));
  const back = await Promise.all(blocks.map((block) => echo(port, block)));
  for (const [i, block] of blocks.entries()) assert(back[i]?.equals(block), `client ${i + 1}`);
  server.child.kill("SIGTERM");
  assert.equal(await server.line(), "echoed 3000000");
  assert.equal((await server.ended()).status, 0);
});

for (const name of REFUSED) {
  test(`${name} gets ready and waits`, async (t) => {
    await using refused = new Running(name);
    const line = (await refused.line()) ?? "";
    if (line.startsWith("unavailable")) {
      assert.equal((await refused.ended()).status, EXIT_UNAVAILABLE);
      t.skip(`this machine has no such thing: ${line}`);
      return;
    }
    assert.equal(line, "ready");
    assert.equal(refused.child.exitCode, null);
  });
}

test("wrong use is told from failure", () => {
  const { status, stderr } = spawnSync(program("memfill"), [], { encoding: "utf8" });
  assert.equal(status, 2);
  assert.match(stderr, /^usage: memfill /);
});
