import assert from "node:assert/strict";
import { test } from "node:test";
import { CoreMeter } from "./cores.ts";
import { Root } from "./test-root.ts";

/** user, nice, system, idle, iowait, irq, softirq, steal, guest, guest_nice */
const text = (...cores: number[][]): string =>
  `cpu  9 9 9 9 9 9 9 9 9 9\n${cores.map((c, i) => `cpu${i} ${c.join(" ")}\n`).join("")}intr 5 0 0\n`;

test("only the CPUs that the node may use count, each from its own line", () => {
  using root = new Root({
    "proc/stat": text([0, 0, 0, 100, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
  });
  const [first, both, gone] = [new CoreMeter(root.path), new CoreMeter(root.path), new CoreMeter(root.path)];
  assert.equal(first.look([0], 0), null);
  assert.equal(both.look([0, 2], 0), null);
  assert.equal(gone.look([0, 7], 0), null);
  root.write({ "proc/stat": text([90, 0, 0, 110, 0, 0, 0, 0, 0, 0], [0, 0, 0, 100, 0, 0, 0, 0, 0, 0], [0, 0, 0, 60, 20, 0, 0, 20, 0, 0]) });
  assert.deepEqual(first.look([0], 1000), { count: 1, idle: 0.1, stolen: 0 });
  assert.deepEqual(both.look([0, 2], 1000), { count: 2, idle: 0.9, stolen: 0.2 });
  assert.equal(gone.look([0, 7], 1000), null, "one of them is not told of");
  assert.equal(first.look([0, 1], 2000), null, "others than before");
});

test("without /proc/stat nothing is known", () => {
  using root = new Root({ "proc/uptime": "1 1\n" });
  const meter = new CoreMeter(root.path);
  assert.deepEqual([meter.look([0], 0), meter.look([0], 1000)], [null, null]);
});
