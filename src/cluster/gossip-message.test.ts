import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { SeededRandom, VirtualClock } from "../io/mod.ts";
import { decode, encode, type GossipMessage, LOAD_BYTES, STATES, TYPES } from "./gossip-message.ts";
import { ENTRY_BYTES, LOAD_FLAGS, readEntry, writeEntry } from "./load-entry.ts";
import { LoadVector } from "./load-vector.ts";
import { Rumours } from "./rumours.ts";
import { suspicionMs } from "./suspicion.ts";
import { contact, entryOf } from "./test-gossip.ts";

const record = <T extends object>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> =>
  fc.record<T>(model, { noNullPrototype: true });
const u16 = fc.integer({ min: 0, max: 0xffff });
const id = fc.integer({ min: 1, max: 0xffff });
const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const where = record({
  name: fc.constantFrom("a", "h2", "x".repeat(63)),
  address: fc.constantFrom("10.0.0.1", "fe80::1%eth0", "host.example.org"),
  port: id,
  gossip: id,
});
const entry = record({
  cpus: fc.integer({ min: 0, max: 4096_000 }).map((n) => n / 1000),
  speed: u32,
  load: fc.integer({ min: 0, max: 100_000 }).map((n) => n / 1000),
  memTotal: fc.integer({ min: 0, max: 2 ** 48 - 1 }),
  memFree: fc.integer({ min: 0, max: 2 ** 48 - 1 }),
  guests: u16,
  away: u16,
  flags: fc.subarray([...LOAD_FLAGS]),
  memGrowth: u32,
  cpu: u32,
  own: fc.integer({ min: 0, max: 100_000 }).map((n) => n / 1000),
  util: fc.integer({ min: 0, max: 255 }).map((n) => n / 255),
  got: fc.integer({ min: 0, max: 100_000 }).map((n) => n / 1000),
});
const state = fc.constantFrom(...STATES);
const rumour = fc.oneof(
  record({ id, state, incarnation: u32, life: u32, by: u16 }),
  record({ id, state, incarnation: u32, life: u32, by: u16, where }),
);
const load = record({ id, life: u32, seq: u32, ageMs: fc.integer({ min: 0, max: 0xffff }).map((n) => n * 10), entry });
const message: fc.Arbitrary<GossipMessage> = record({
  type: fc.constantFrom(...TYPES),
  seq: u32,
  life: u32,
  incarnation: u32,
  about: u16,
  rumours: fc.array(rumour, { maxLength: 20 }),
  loads: fc.array(load, { maxLength: 20 }),
});

test("a message is read as it was written, and not when a byte is missing or too many", () => {
  fc.assert(
    fc.property(message, fc.nat(), (m, n) => {
      const bytes = encode(m);
      assert.deepEqual(decode(bytes), m);
      assert.equal(decode(bytes.subarray(0, n % bytes.length)), null);
      assert.equal(decode(Buffer.concat([bytes, Buffer.alloc(1)])), null);
    }),
  );
});

test("whatever bytes come, they are a message that can be written again, or none", () => {
  const same = (bytes: Buffer): void => {
    const m = decode(bytes);
    if (m !== null) assert.deepEqual(decode(encode(m)), m);
  };
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (noise) => same(Buffer.from(noise))));
  fc.assert(
    fc.property(message, fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { maxLength: 5 }), (m, changes) => {
      const bytes = encode(m);
      for (const [at, value] of changes) bytes[at % bytes.length] = value;
      same(bytes);
    }),
  );
});

test("an entry keeps what it says within its limits, and is small", () => {
  assert.ok(ENTRY_BYTES < 64 && LOAD_BYTES < 64);
  const bytes = Buffer.alloc(ENTRY_BYTES);
  const odd = { ...entryOf(1, 0.1), cpus: 1.5, guests: 70_000, away: -1, flags: ["noengine", "unheard-of"], memFree: 1.5, cpu: -1 };
  writeEntry(bytes, 0, odd);
  const read = readEntry(bytes, 0);
  assert.deepEqual(read, { ...odd, guests: 65_535, away: 0, flags: ["noengine"], memFree: 2, cpu: 0xffff_ffff });
  assert.equal("util" in (read ?? {}), false);
  writeEntry(bytes, 0, { ...odd, load: Number.NaN });
  assert.equal(readEntry(bytes, 0), null);
});

test("of a vector its own entry and some of the fresher half are told", async () => {
  const clock = new VirtualClock();
  const vector = new LoadVector({ clock, random: new SeededRandom(1), self: 1, life: 1, maxAgeMs: 10_000 });
  for (let n = 2; n <= 41; n++) {
    vector.merge({ id: n, life: 1, seq: 1, ageMs: 0, entry: entryOf(n) });
    await clock.advance(100);
  }
  vector.setOwn(entryOf(1));
  const told = new Set<number>();
  for (let round = 0; round < 50; round++) {
    const picked = vector.pick(8);
    assert.deepEqual([picked.length, picked[0]?.id], [8, 1]);
    for (const { id: of } of picked) told.add(of);
  }
  assert.deepEqual(
    [...told].sort((a, b) => a - b),
    [1, ...Array.from({ length: 20 }, (_, i) => 22 + i)],
  );
  await clock.advance(10_000);
  assert.deepEqual(
    vector.pick(8).map((i) => i.id),
    [1],
  );
  assert.equal(vector.size, 1);
});

test("news is passed on so many times, the least told first, the newest of each member", () => {
  const rumours = new Rumours();
  const of = (n: number, incarnation = 1) => ({ id: n, state: "down" as const, incarnation, life: 1, by: 2 });
  for (let n = 1; n <= 4; n++) rumours.add(of(n));
  const room = 2 * 13;
  const ids = (): number[] => rumours.pick(room, 2).map((r) => r.id);
  assert.deepEqual([ids(), ids(), ids(), ids(), ids()], [[1, 2], [3, 4], [1, 2], [3, 4], []]);
  rumours.add(of(1));
  rumours.add(of(1, 2));
  assert.deepEqual(
    rumours.pick(500, 1).map((r) => r.incarnation),
    [2],
  );
  rumours.add({ ...of(1), where: contact(1) });
  assert.deepEqual(rumours.pick(13, 1), []);
});

test("a suspicion is as long as its confirmations say", () => {
  const times = { leastMs: 1000, mostMs: 3000, enough: 3 };
  assert.deepEqual(
    [0, 1, 3, 9].map((n) => suspicionMs(times, n)),
    [3000, 2000, 1000, 1000],
  );
  assert.equal(suspicionMs({ ...times, enough: 0 }, 0), 1000);
});
