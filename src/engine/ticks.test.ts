/** A timer's signal that waits is one, however many ticks are in it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { program } from "../../test/programs/build.ts";
import { addSignal, foldTicks } from "./ticks.ts";
import { SEED, TestNodes, TestProgram } from "./test-nodes.ts";

const skip = process.getuid?.() === 0 ? false : "guests are kept in namespaces, which needs root";

test("ticks of a timer whose signal is blocked come as one signal", { skip, timeout: 120_000 }, async () => {
  await using n = await TestNodes.start(2);
  using ticks = await TestProgram.start(n.tracees, program("ticks"), "1");
  await n.home.migrate(ticks.pid, 2);
  assert.equal(await ticks.end(), "ready\nround 0\nstatus 0\n", `seed ${SEED}: ${n.logged.slice(-3000)}`);
});

const SI_TIMER = -2;
const SI_QUEUE = -1;
const signal = (number: number, code: number, timer: number, overrun: number): Buffer => {
  const info = Buffer.alloc(128);
  for (const [at, value] of [number, 0, code, 0, timer, overrun].entries()) info.writeInt32LE(value, 4 * at);
  return info;
};

test("later ticks of a timer are counted in the first, where that is; nothing else is", () => {
  const tick = (timer: number, overrun: number): Buffer => signal(40, SI_TIMER, timer, overrun);
  const sent = signal(40, SI_QUEUE, 1, 7);
  assert.deepEqual(foldTicks([tick(1, 2), sent, tick(2, 0), tick(1, 0), sent, tick(1, 5)]), [tick(1, 9), sent, tick(2, 0), sent]);
  const waiting: Uint8Array[] = [tick(1, 0x7fff_fff0)];
  addSignal(waiting, tick(1, 0x7fff_fff0));
  addSignal(waiting, signal(14, SI_TIMER, 1, 0));
  assert.deepEqual(waiting, [tick(1, 0x7fff_ffff), signal(14, SI_TIMER, 1, 0)]);
});
