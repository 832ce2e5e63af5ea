/** A timer's signal that waits is one, however many ticks are in it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { program } from "../../test/programs/build.ts";
import { asUnmoved, movedAbout } from "./test-moves.ts";
import { SEED, TestNodes, TestProgram } from "./test-nodes.ts";
import { addSignal, foldTicks, without } from "./ticks.ts";

const skip = process.getuid?.() === 0 ? false : "guests are kept in namespaces, which needs root";

test("ticks of a timer whose signal is blocked come as one signal", { skip, timeout: 120_000 }, async () => {
  await using n = await TestNodes.start(2);
  using ticks = await TestProgram.start(n.tracees, program("ticks"), "1");
  await n.home.migrate(ticks.pid, 2);
  assert.equal(await ticks.end(), "ready\nround 0\nstatus 0\n", `seed ${SEED}: ${n.logged.slice(-3000)}`);
});

for (const [what, ...args] of [
  ["ticks", "2"],
  ["flood", "1500"],
] as const)
  test(`none is lost by moves: ${what}`, { skip, timeout: 120_000 }, async () => {
    await using n = await TestNodes.start(3);
    const { moves } = await asUnmoved(n, program(what), args, (p) => movedAbout(n, p, { pauseMs: 100 }));
    assert.ok(moves > 1, `${moves} moves, seed ${SEED}`);
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

test("of signals that were seen before only later ticks are left", () => {
  const tick = (timer: number, overrun: number): Buffer => signal(40, SI_TIMER, timer, overrun);
  const [a, b, c] = [signal(34, SI_QUEUE, 1, 0), signal(35, SI_QUEUE, 2, 0), signal(34, SI_QUEUE, 3, 0)];
  assert.deepEqual(without([a, b, a, c], [a, c]), [b, a]);
  assert.deepEqual(without([tick(1, 7), tick(2, 3), tick(1, 2)], [tick(1, 0), tick(2, 3)]), [tick(1, 6), tick(1, 2)]);
  assert.deepEqual(without([tick(1, 3), tick(1, 90)], [tick(1, 90)]), [tick(1, 3)], "one has come before it was put back");
});
