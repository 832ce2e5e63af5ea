import assert from "node:assert/strict";
import { test } from "node:test";
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
