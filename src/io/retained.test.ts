import assert from "node:assert/strict";
import { test } from "node:test";
import { outgoing } from "../wire/mod.ts";
import { Retained } from "./retained.ts";

test("frames are kept in order until they are acknowledged", () => {
  const kept = new Retained();
  const frame = (n: number): Buffer => Buffer.alloc(n % 7, n);
  let acknowledged = 0;
  for (let n = 1; n <= 10_000; n++) {
    kept.push(n % 3 === 0 ? [frame(n), frame(n)] : frame(n));
    if (n % 11 === 0) {
      acknowledged += n % 5 === 0 ? 3 : 11;
      kept.acknowledge(acknowledged);
    }
    assert.equal(kept.sent, n);
  }
  const rest = [...kept];
  assert.equal(rest.length, 10_000 - acknowledged);
  const expected = Array.from({ length: rest.length }, (_, i) => acknowledged + 1 + i).map((n) =>
    n % 3 === 0 ? [frame(n), frame(n)] : frame(n),
  );
  assert.deepEqual(rest, expected);
  assert.equal(
    kept.bytes,
    expected.flat().reduce((sum, b) => sum + b.length, 0),
  );
  kept.acknowledge(10_000);
  assert.deepEqual([[...kept], kept.bytes, kept.sent], [[], 0, 10_000]);
});

test("what cannot have been received is not acknowledged", () => {
  const kept = new Retained();
  kept.push(Buffer.from("a"));
  assert.throws(() => kept.acknowledge(2), { code: "E_PROTOCOL" });
  kept.acknowledge(1);
  assert.throws(() => kept.acknowledge(0), { code: "E_PROTOCOL" });
});

test("large pieces go back where they came from once they are acknowledged, unless another connection had them too", () => {
  const retained = new Retained();
  const large = (): Buffer => outgoing.take(300_000);
  const frame = (): [Buffer, Buffer] => [Buffer.alloc(10), large()];
  const [first, second, third] = [frame(), frame(), frame()];
  retained.push(first);
  retained.push(second);
  retained.acknowledge(1);
  assert.equal(large().buffer, first[1].buffer, "the first is free");
  assert.notEqual(large().buffer, second[1].buffer, "the second is not");
  retained.share();
  retained.push(third);
  retained.acknowledge(3);
  assert.equal(large().buffer, third[1].buffer);
  assert.notEqual(large().buffer, second[1].buffer, "a connection that was given up may still write it");
});
