/** The engine is killed while it holds processes that have not left yet: they go on by themselves as if nothing had been. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { openSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { program } from "../../test/programs/build.ts";
import { Log } from "../base/mod.ts";
import { libc } from "../sys/mod.ts";
import { ALL_SIGNALS } from "./freeze.ts";
import { endOrphans } from "./orphans.ts";
import { SEED, seeded } from "./test-nodes.ts";

const skip = process.getuid?.() === 0 ? false : "tracing other users' processes needs root";
const TRACER = fileURLToPath(new URL("test-tracer.ts", import.meta.url));

const SIGRTMIN = 34;
/** Without SIGKILL and SIGSTOP. */
const ALL_BUT_UNBLOCKABLE = 0xffff_ffff_fffb_feffn;

interface Victim {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly lines: string[];
  readonly ended: Promise<number | null>;
}

async function start(...[file, ...args]: readonly [string, ...string[]]): Promise<Victim> {
  const child = spawn(file, args, { stdio: ["pipe", "pipe", "pipe"] });
  const lines: string[] = [];
  const reader = createInterface({ input: child.stdout });
  reader.on("line", (line) => lines.push(line));
  // Which of its checks failed.
  createInterface({ input: child.stderr }).on("line", (line) => lines.push(line));
  const ended = once(child, "close").then(([code]) => code as number | null);
  await once(reader, "line");
  return { child, pid: child.pid ?? 0, lines, ended };
}

/** A tracer takes them, is killed, and they are watched until nobody traces them. */
async function crash(victims: readonly Victim[], how: string, waitMs: number): Promise<void> {
  const tracer = spawn(process.execPath, [TRACER], { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: tracer.stdout });
  const taken = new Promise<void>((resolve) => {
    let left = victims.length;
    lines.on("line", () => --left === 0 && resolve());
  });
  tracer.stdin.write(victims.map((v) => `${v.pid} ${how}\n`).join(""));
  await Promise.race([taken, once(tracer, "exit").then(() => assert.fail("the tracer gave up"))]);
  await sleep(waitMs);
  tracer.kill("SIGKILL");
  await once(tracer, "close");
}

test("processes survive the engine that held them", { skip, timeout: 120_000 }, async () => {
  const random = seeded();
  const busy = await start(program("busy"), "8000");
  const registers = await start(program("spin"), "4000", "200000");
  // In a read of its standard input, in a sleep that outlasts all of it.
  const reading = await start("/bin/sh", "-c", "echo ready; read line; echo got $line");
  const began = performance.now();
  const sleeping = await start("/bin/sh", "-c", "echo ready; exec sleep 6");
  const many = await start(program("waits"));
  const victims = [busy, registers, reading, sleeping, many];
  try {
    let signals = 0;
    for (const how of ["enter", "capture", "enter", "capture"]) {
      await sleep(random.float() * 50);
      const left = victims.filter(({ child }) => child.exitCode === null);
      await crash(left, how, random.float() * 30);
      libc.kill(busy.pid, SIGRTMIN);
      signals++;
      // On a slow machine some come to their own end before the last crash.
      for (const { pid, child } of victims) {
        if (child.exitCode !== null) continue;
        const status = readFileSync(`/proc/${pid}/status`, "utf8");
        // We have not heard of its end yet, which is judged below.
        if (/^State:\tZ/m.test(status)) continue;
        assert.match(status, /^TracerPid:\t0$/m);
        assert.match(status, /^State:\t[RSD]/m);
      }
    }
    reading.child.stdin?.write("a line\n");
    assert.equal(await reading.ended, 0);
    assert.deepEqual(reading.lines, ["ready", "got a line"]);
    assert.equal(await sleeping.ended, 0);
    assert.ok(performance.now() - began > 5900, "the sleep was as long as it had to be");
    busy.child.kill("SIGTERM");
    assert.equal(await busy.ended, 0, `seed ${SEED}: ${busy.lines.join("; ")}`);
    many.child.kill("SIGTERM");
    assert.equal(await many.ended, 0, `seed ${SEED}: ${many.lines.join("; ")}`);
    assert.match(many.lines.join("; "), /^ready; waits \d+ early 0$/, `seed ${SEED}`);
    assert.match(busy.lines.at(-1) ?? "", new RegExp(`signals ${signals} values 0$`));
    assert.equal(await registers.ended, 0, `seed ${SEED}: ${registers.lines.join("; ")}`);
  } finally {
    for (const { child } of victims) child.kill("SIGKILL");
  }
});

for (const how of ["set-up", "enter", "capture"]) {
  test(`a process whose engine has ended at '${how}' keeps no descriptor of its deputies, and little memory`, {
    skip,
    timeout: 60_000,
  }, async () => {
    const waits = await start(program("waits"), ...UNMASKED);
    const dir = `/proc/${waits.pid}`;
    const open = (): string[] => readdirSync(`${dir}/fd`).map((fd) => `${fd} ${readlinkSync(`${dir}/fd/${fd}`)}`);
    const kilobytes = (): number => Number(/^VmSize:\s*(\d+)/m.exec(readFileSync(`${dir}/status`, "utf8"))?.[1]);
    const threads = readdirSync(`${dir}/task`).length;
    const [before, size] = [open(), kilobytes()];
    try {
      for (let i = 1; i <= 3; i++) {
        await crash([waits], how, 0);
        // Each of its threads goes on by itself.
        while (readdirSync(`${dir}/task`).some((tid) => isDeputy(`${dir}/task/${tid}`))) await sleep(1);
        assert.deepEqual(open(), before);
        assert.ok(kilobytes() - size <= i * threads * KEPT_KB, `${kilobytes() - size} kB more`);
      }
      waits.child.kill("SIGTERM");
      assert.equal(await waits.ended, 0);
      assert.match(waits.lines.join("; "), /^ready; waits \d+ early 0$/);
    } finally {
      waits.child.kill("SIGKILL");
    }
  });
}
/** Waits that do not block all signals themselves. */
const UNMASKED = ["read", "futex", "nanosleep", "semop", "recv_limit", "epoll", "sigwaitinfo"];
/** Pages that it goes on from. */
const KEPT_KB = 32;
/** All its signals are blocked. */
const isDeputy = (task: string): boolean => /^SigBlk:\tf/m.test(readFileSync(`${task}/status`, "utf8"));

test("processes that were away end with their engine, or when the next one finds them", { skip, timeout: 60_000 }, async () => {
  const idle = await start("/bin/sh", "-c", "echo ready; read line");
  await crash([idle], "committed", 20);
  assert.equal(await idle.ended, null);

  const waiting = await start("/bin/sh", "-c", "echo ready; read line");
  const whole = await start("/bin/sh", "-c", "echo ready; read line");
  try {
    await crash([waiting], "committed-in-call", 20);
    assert.equal(waiting.child.exitCode ?? waiting.child.signalCode, null);
    endOrphans(new Log({ level: "error", fd: openSync("/dev/null", "w") }));
    assert.equal(await waiting.ended, null);
    assert.equal(waiting.child.signalCode, "SIGKILL");
    assert.equal(whole.child.signalCode, null);
  } finally {
    for (const { child } of [waiting, whole]) child.kill("SIGKILL");
  }
});

test("a process that has come home and is not let go yet goes on as it came", { skip, timeout: 60_000 }, async () => {
  const reading = await start("/bin/sh", "-c", "echo ready; read line; echo got $line");
  try {
    await crash([reading], "landing", 5);
    const status = (): string => readFileSync(`/proc/${reading.pid}/status`, "utf8");
    const blocked = (): bigint => BigInt(`0x${/^SigBlk:\t(\S+)/m.exec(status())?.[1]}`);
    assert.match(status(), /^TracerPid:\t0$/m);
    while (blocked() === ALL_SIGNALS || blocked() === ALL_BUT_UNBLOCKABLE) await sleep(1);
    assert.equal(blocked(), 1n << 9n, "SIGUSR1 is blocked, and no other");
    reading.child.stdin?.write("a line\n");
    assert.equal(await reading.ended, 0);
    assert.deepEqual(reading.lines, ["ready", "got a line"]);
  } finally {
    reading.child.kill("SIGKILL");
  }
});
