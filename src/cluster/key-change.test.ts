import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { TeselaError } from "../base/mod.ts";
import { VirtualClock } from "../io/mod.ts";
import { createCluster } from "./ca.ts";
import { readGossipKeys } from "./gossip-key.ts";
import { DROP_MS, KeyChange, SWITCH_MS } from "./key-change.ts";
import { Keyring } from "./seal.ts";
import { checkKey, covers, formatKey, isLater, isSigned, mayHave, parseKey, type SignedKey, signKey } from "./signed-key.ts";

const secret = (n: number): Buffer => Buffer.alloc(32, n);
const idOf = (n: number): number => new Keyring([secret(n)]).primary;
const opens = (change: KeyChange, ...all: number[]): number[] => all.filter((n) => change.ring.has(idOf(n)));

test("a change: both open, the old one seals, then the new one, then the old one is gone", async () => {
  const clock = new VirtualClock();
  const change = new KeyChange(clock, [secret(1)]);
  assert.equal(change.advance(), null);
  change.begin(secret(2));
  assert.equal(change.advance(), SWITCH_MS);
  assert.deepEqual([change.ring.primary, opens(change, 1, 2)], [idOf(1), [1, 2]]);
  await clock.advance(SWITCH_MS);
  assert.equal(change.advance(), DROP_MS - SWITCH_MS);
  assert.deepEqual([change.ring.primary, opens(change, 1, 2)], [idOf(2), [1, 2]]);
  await clock.advance(DROP_MS - SWITCH_MS);
  assert.equal(change.advance(), null);
  assert.deepEqual([change.ring.primary, opens(change, 1, 2)], [idOf(2), [2]]);
});

test("however fast keys follow one another, a former one is gone in its own time", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 0, max: 2000 }), { minLength: 1, maxLength: 12 }), async (pauses) => {
      const clock = new VirtualClock();
      const change = new KeyChange(clock, [secret(0)]);
      const ended = new Map<number, number>();
      const step = async (ms: number): Promise<void> => {
        const end = clock.now() + ms;
        for (;;) {
          const next = change.advance();
          if (next === null || clock.now() + next > end) break;
          await clock.advance(next);
        }
        await clock.advance(end - clock.now());
        change.advance();
      };
      for (const [i, pause] of pauses.entries()) {
        change.begin(secret(i + 1));
        ended.set(i, clock.now());
        await step(pause);
        assert.ok(change.ring.has(idOf(i + 1)));
        for (const [n, at] of ended) if (clock.now() - at >= DROP_MS) assert.ok(!change.ring.has(idOf(n)), `key ${n}`);
      }
      await step(DROP_MS);
      assert.deepEqual(opens(change, ...Array.from({ length: pauses.length + 1 }, (_, i) => i)), [pauses.length]);
    }),
    { numRuns: 200 },
  );
});

test("keys by hand stay as they are written, until the CA's word comes", async () => {
  const clock = new VirtualClock();
  const change = new KeyChange(clock, [secret(1), secret(2)]);
  await clock.advance(1e9);
  assert.equal(change.advance(), null);
  assert.deepEqual(opens(change, 1, 2), [1, 2]);
  change.begin(secret(3));
  await clock.advance(DROP_MS);
  change.advance();
  assert.deepEqual(opens(change, 1, 2, 3), [3]);
});

test("a signed key: whose it is, whom it is kept from, and that nothing of it can be changed", async () => {
  const [ca, other] = [await createCluster("lab"), await createCluster("lab")];
  const [own, foreign] = [ca, other].map((c) => new X509Certificate(c.cert).publicKey);
  assert.ok(own && foreign);
  const key = signKey(ca, 4, [
    [3, 2],
    [30, 7],
  ]);
  assert.ok(isSigned(key, "lab", own));
  assert.ok(!isSigned(key, "lab", foreign) && !isSigned(key, "bal", own));
  const forged: Partial<SignedKey>[] = [{ generation: 5 }, { gone: [[3, 2]] }, { secret: "0".repeat(64) }];
  for (const change of forged) assert.ok(!isSigned({ ...key, ...change }, "lab", own));
  assert.deepEqual(parseKey(formatKey(key).trim()), key);
  assert.deepEqual(readGossipKeys(formatKey(key), "test"), { secrets: [Buffer.from(key.secret, "hex")], signed: key });
  assert.deepEqual(parseKey(formatKey({ ...key, gone: [] }).trim()).gone, []);
  const bad = ["", `${key.secret}`, formatKey(key).replace("3.2", "3"), formatKey(key).replace(" 4 ", " 0 "), formatKey(key).slice(0, -9)];
  for (const text of bad) assert.throws(() => parseKey(text.trim()), TeselaError, text);
  for (const value of [null, 7, [], {}, { ...key, gone: [[0, 1]] }, { ...key, gone: "x" }])
    assert.throws(() => checkKey(value), TeselaError);
  assert.throws(() => readGossipKeys(`${key.secret} 1\n`, "test"), /not the CA's word/);

  const gone = key.gone;
  assert.ok(covers(key, gone) && covers(key, []) && covers(null, []));
  assert.ok(!covers(null, gone) && !covers(key, [[30, 8]]) && !covers(key, [[4, 1]]));
  // Node 30 as it was removed, and as it was let in again; node 5, of whom nobody said anything.
  assert.deepEqual([mayHave(key, 30, 7), mayHave(key, 30, 0), mayHave(key, 30, 8), mayHave(key, 5, 0)], [false, false, true, true]);
  const twin = signKey(ca, 4, gone);
  assert.notEqual(isLater(key, twin), isLater(twin, key));
  assert.ok(!isLater(key, key) && isLater(key, null) && isLater(signKey(ca, 5, []), key) && !isLater(key, signKey(ca, 5, [])));
});
