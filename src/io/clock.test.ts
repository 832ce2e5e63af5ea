import assert from "node:assert/strict";
import { test } from "node:test";
import { realClock, VirtualClock } from "./clock.ts";
import { pick, SeededRandom, shuffle, systemRandom } from "./random.ts";

test("virtual time stands still, then fires what falls due, each at its moment and in order", async () => {
  const clock = new VirtualClock(Date.UTC(2020, 0, 1));
  const log: string[] = [];
  const note = (what: string) => () => log.push(`${what}@${clock.now()}`);
  clock.after(30, note("c"));
  clock.after(10, note("a"));
  clock.after(10, note("b"));
  const tick = clock.every(15, note("tick"));
  const dropped = clock.after(20, note("dropped"));
  dropped.cancel();
  clock.after(10, () => clock.after(5, note("nested")));
  await clock.advance(9);
  assert.deepEqual(log, []);
  await clock.advance(23);
  assert.deepEqual(log, ["a@10", "b@10", "tick@15", "nested@15", "c@30", "tick@30"]);
  tick.cancel();
  await clock.advance(1000);
  assert.equal(log.length, 6);
  assert.equal(clock.wall(), Date.UTC(2020, 0, 1) + 1032);
});

test("virtual sleep ends in time, or by its signal", async () => {
  const clock = new VirtualClock();
  let woke = 0;
  void clock.sleep(100).then(() => {
    woke = clock.now();
  });
  const abort = new AbortController();
  const sleeping = assert.rejects(clock.sleep(1000, abort.signal), /enough/);
  await clock.advance(100);
  assert.equal(woke, 100);
  abort.abort(new Error("enough"));
  await sleeping;
  await assert.rejects(clock.sleep(1, abort.signal), /enough/);
});

test("the real clock runs, sleeps and can be stopped", { timeout: 20_000 }, async () => {
  const start = realClock.now();
  let beats = 0;
  {
    using _beat = realClock.every(2, () => beats++);
    using _never = realClock.after(5, () => assert.fail("was put back"));
    _never.cancel();
    await realClock.sleep(30);
    while (beats < 2) await realClock.sleep(1);
  }
  const after = beats;
  assert.ok(realClock.now() - start >= 29);
  await realClock.sleep(10);
  assert.equal(beats, after);
  await assert.rejects(realClock.sleep(1000, AbortSignal.abort(new Error("enough"))), /enough/);
  assert.ok(Math.abs(realClock.wall() - Date.now()) < 1000);
});

test("a seed gives the same numbers each time, evenly", () => {
  const [a, b, c] = [new SeededRandom(7), new SeededRandom(7), new SeededRandom(8n)];
  const draw = (r: SeededRandom) => Array.from({ length: 100 }, () => r.int(1000));
  const drawn = draw(a);
  assert.deepEqual(drawn, draw(b));
  assert.notDeepEqual(drawn, draw(c));
  const buckets = new Array(10).fill(0);
  for (let i = 0; i < 100_000; i++) buckets[a.int(10)]++;
  for (const n of buckets) assert.ok(Math.abs(n - 10_000) < 500, String(buckets));
  for (let i = 0; i < 1000; i++) assert.ok(a.float() >= 0 && a.float() < 1);
});

test("picks and shuffles come from what is given", () => {
  for (const random of [new SeededRandom(1), systemRandom]) {
    const items = Array.from({ length: 52 }, (_, i) => i);
    const mixed = shuffle(random, items);
    assert.notDeepEqual(mixed, items);
    assert.deepEqual(
      mixed.toSorted((x, y) => x - y),
      items,
    );
    assert.ok(items.includes(pick(random, items)));
    assert.equal(random.bytes(33).length, 33);
    assert.throws(() => pick(random, []), /nothing/);
  }
  assert.throws(() => new SeededRandom(1).int(0), /below 0/);
});
