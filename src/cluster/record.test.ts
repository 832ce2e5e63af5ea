import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { TeselaError } from "../base/mod.ts";
import { createCluster } from "./ca.ts";
import { type Entry, MemberRecord, signEntry, type Standing } from "./record.ts";

const ca = await createCluster("red");
const KEYS = ["A", "B", "C"].map((c) => c.repeat(43));
const [K1 = "", K2 = ""] = KEYS;
const entry = (id: number, epoch: number, standing: Standing, key = K1, by = ca): Entry =>
  signEntry(by, { id, epoch, standing, key, name: `h${id}`, address: `10.88.0.${id % 250}`, port: 4660 });
const isError = (code: string) => (e: unknown) => e instanceof TeselaError && e.code === code;

test("what is newer counts, and what the CA did not say does not", async () => {
  const record = new MemberRecord("red", ca.cert);
  assert.equal(record.refuses(2, K1), null, "nothing is known of it");
  assert.deepEqual(
    record.merge([entry(1, 1, "member"), entry(2, 1, "member")]).map((e) => e.id),
    [1, 2],
  );
  const digest = record.digest;
  assert.deepEqual(record.merge([entry(2, 1, "member", K1)]).length <= 1, true);
  assert.deepEqual([record.refuses(2, K1), /key/.test(record.refuses(2, K2) ?? "")], [null, true]);
  record.merge([entry(2, 2, "removed")]);
  assert.notEqual(record.digest, digest);
  assert.match(record.refuses(2, K1) ?? "", /removed/);
  assert.equal(record.merge([entry(2, 1, "member")]).length, 0, "an old one does not bring it back");
  record.merge([entry(2, 3, "member", K2)]);
  assert.deepEqual([record.refuses(2, K2), /key/.test(record.refuses(2, K1) ?? "")], [null, true]);

  const forged = [
    { ...entry(1, 9, "removed"), name: "other" },
    { ...entry(1, 9, "member"), standing: "removed" },
    { ...entry(1, 8, "member"), epoch: 9 },
    { ...entry(3, 1, "member"), id: 1, epoch: 9 },
    entry(1, 9, "removed", K1, await createCluster("red")),
    entry(1, 9, "removed", K1, { ...ca, cluster: "blue" }),
  ];
  for (const wrong of forged) assert.throws(() => record.merge([wrong]), isError("E_PROTOCOL"), JSON.stringify(wrong));
  assert.equal(record.refuses(1, K1), null);
  // A bad one among good ones costs the good ones nothing; a heap of them is not worth looking at.
  const why: string[] = [];
  const told = (e: TeselaError): void => void why.push(e.code);
  assert.deepEqual(
    record.merge([forged[0], entry(5, 1, "member"), null, entry(6, 1, "member")], told).map((e) => e.id),
    [5, 6],
  );
  assert.deepEqual(why, ["E_PROTOCOL", "E_CONFIG"]);
  assert.equal(record.merge([...Array.from({ length: 100 }, () => forged[0]), entry(7, 1, "member")], told).length, 0);
  assert.ok(why.length < 30, `${why.length}`);
});

test("records that heard the same in any order say the same", () => {
  const all = [1, 2, 3].flatMap((id) =>
    [1, 2, 3].flatMap((epoch) =>
      (["member", "left", "removed"] as const).flatMap((s) => KEYS.slice(0, 2).map((k) => entry(id, epoch, s, k))),
    ),
  );
  const some = fc.shuffledSubarray(all, { minLength: 1 });
  fc.assert(
    fc.property(some, fc.infiniteStream(fc.nat()), (entries, stream) => {
      const [a, b] = [new MemberRecord("red", ca.cert), new MemberRecord("red", ca.cert)];
      a.merge(entries);
      const order = [...entries].sort(() => (stream.next().value % 3) - 1);
      for (const e of order) b.merge([e]);
      assert.equal(a.digest, b.digest);
      b.merge(a.all());
      assert.deepEqual(a.all(), b.all());
    }),
    { numRuns: 25 },
  );
});

test("no junk is taken for an entry", () => {
  const record = new MemberRecord("red", ca.cert);
  const good = entry(1, 1, "member");
  const junk = fc.oneof(
    fc.anything(),
    fc.tuple(fc.constantFrom(...Object.keys(good)), fc.anything()).map(([field, value]) => ({ ...good, [field]: value })),
  );
  fc.assert(
    fc.property(junk, (value) => {
      try {
        record.merge([value]);
      } catch (e) {
        assert.ok(isError("E_CONFIG")(e) || isError("E_PROTOCOL")(e), String(e));
      }
      for (const e of record.all()) assert.deepEqual(e, good);
    }),
  );
});
