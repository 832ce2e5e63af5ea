import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { EventClock } from "./event-clock.ts";

test("everything happens once, in the order of its moment and then of its setting", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 20 }), { maxLength: 200 }), (delays) => {
      const clock = new EventClock();
      const seen: [number, number][] = [];
      delays.forEach((ms, i) => {
        clock.after(ms, () => seen.push([clock.now(), i]));
      });
      clock.runTo(100);
      const want = delays.map((ms, i): [number, number] => [ms, i]).sort((a, b) => a[0] - b[0] || a[1] - b[1]);
      assert.deepEqual(seen, want);
      assert.equal(clock.now(), 100);
    }),
  );
});

test("timers are cancelled, also by themselves, and repeat until then", () => {
  const clock = new EventClock();
  const seen: string[] = [];
  const never = clock.after(5, () => seen.push("never"));
  const tick = clock.every(10, () => {
    seen.push(`tick ${clock.now()}`);
    if (clock.now() === 30) tick.cancel();
  });
  clock.after(1, () => never.cancel());
  clock.runTo(100);
  assert.deepEqual(seen, ["tick 10", "tick 20", "tick 30"]);
});

test("it stops when it is done, and goes on from there", () => {
  const clock = new EventClock();
  let n = 0;
  clock.every(1, () => void n++);
  clock.runTo(100, () => n === 7);
  assert.equal(clock.now(), 7);
  clock.runTo(10);
  assert.equal(n, 10);
});
