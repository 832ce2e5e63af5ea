import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Root } from "./test-root.ts";
import { keptYardstick, measureYardstick } from "./yardstick.ts";

test("the yardstick measures something of the size of a processor", () => {
  const speed = measureYardstick();
  assert.ok(Number.isInteger(speed) && speed > 100 && speed < 1_000_000, `${speed}`);
});

test("it is measured once, and again on another processor or when the file is damaged", () => {
  using root = new Root({ "proc/cpuinfo": "model name\t: A\n" });
  const file = `${root.path}/yardstick.json`;
  let measured = 0;
  const speed = () => keptYardstick(file, () => 7000 + 1000 * ++measured, root.path);
  assert.deepEqual([speed(), speed()], [8000, 8000]);
  assert.deepEqual(JSON.parse(readFileSync(file, "utf8")), { version: 1, model: "A", speed: 8000 });
  root.write({ "proc/cpuinfo": "model name\t: B\n" });
  assert.deepEqual([speed(), speed()], [9000, 9000]);
  root.write({ "yardstick.json": '{"version":1' });
  assert.equal(speed(), 10_000);
});
