import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { SeededRandom } from "../io/mod.ts";
import { type Announcement, Announcer } from "./announcement.ts";
import { KIND, Keyring, seal } from "./seal.ts";

const random = new SeededRandom(5);
const [one, two] = [random.bytes(32), random.bytes(32)];
const ring =
  (...keys: Buffer[]) =>
  () =>
    new Keyring(keys);
const said: Announcement = { id: 7, name: "h7", cluster: "lab", port: 4660, addresses: ["10.0.0.7", "192.168.1.7"] };

test("who has the key hears who is there, each announcement once", () => {
  const [from, to] = [new Announcer(ring(one), random), new Announcer(ring(two, one), random)];
  const [first, second] = [from.seal(said), from.seal(said)];
  assert.deepEqual(to.open(first, "lab"), { announcement: said, fresh: true });
  assert.equal(to.open(first, "lab"), null, "again");
  assert.deepEqual(to.open(second, "lab"), { announcement: said, fresh: false });
  assert.equal(to.open(first, "lab"), null, "an older one");
  assert.equal(from.open(from.seal(said), "lab"), null, "its own");
  assert.equal(to.open(from.seal(said), "other"), null);
  assert.equal(to.open(from.seal({ ...said, cluster: "other" }), "lab"), null);
  assert.equal(new Announcer(ring(two), random).open(from.seal(said), "lab"), null, "without the key");
  // A new life of the node.
  assert.equal(to.open(new Announcer(ring(one), random).seal(said), "lab")?.fresh, true);
});

test("forged, damaged and cut announcements, and what is sealed for something else, are nothing", () => {
  const [from, to] = [new Announcer(ring(one), random), new Announcer(ring(one), random)];
  const good = from.seal(said);
  for (let at = 0; at < good.length; at++) {
    const bad = Buffer.from(good);
    bad[at] = (bad[at] as number) ^ 0x20;
    assert.equal(to.open(bad, "lab"), null, `byte ${at}`);
  }
  for (let n = 0; n < good.length; n++) assert.equal(to.open(good.subarray(0, n), "lab"), null);
  const keys = new Keyring([one]);
  const key = keys.of(keys.primary, 7, 99n);
  assert.ok(key);
  const header = { kind: KIND.DATA, keyId: keys.primary, from: 7, to: 0, life: 99n, token: 0n, count: 1 };
  const as = (fields: object, value: unknown): Buffer => seal(key, { ...header, ...fields }, Buffer.from(JSON.stringify(value) ?? ""));
  assert.equal(to.open(as({ to: 3 }, said), "lab"), null, "one for a sealed link");
  assert.equal(to.open(as({ kind: KIND.HELLO }, said), "lab"), null);
  assert.equal(to.open(as({}, { ...said, id: 8 }), "lab"), null, "in another's name");
  let count = 2;
  fc.assert(
    fc.property(
      fc.oneof(fc.jsonValue(), fc.tuple(fc.constantFrom(...Object.keys(said)), fc.jsonValue())),
      fc.uint8Array(),
      (value, junk) => {
        const twisted = Array.isArray(value) && value.length === 2 ? { ...said, [String(value[0])]: value[1] } : value;
        const heard = to.open(as({ count: count++ }, twisted), "lab");
        if (heard !== null) {
          assert.equal(heard.announcement.id, 7);
          assert.ok(heard.announcement.addresses.every((a) => typeof a === "string"));
        }
        assert.equal(to.open(Buffer.from(junk), "lab"), null);
      },
    ),
  );
  assert.ok(to.open(good, "lab"), "the good one is still new");
});
