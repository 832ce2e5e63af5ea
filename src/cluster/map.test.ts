import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { TeselaError } from "../base/mod.ts";
import { formatMap, nodesOfMap, parseMap } from "./map.ts";

const wrong = (pattern: RegExp) => (e: unknown) => {
  assert.ok(e instanceof TeselaError && e.code === "E_CONFIG", String(e));
  assert.match(e.message, pattern);
  return true;
};

test("ranges and aliases, as openMosix had them", () => {
  const text = "# the farm\n1 10.0.0.254 4   # four\n\n 7\tgate.example 1\n1 192.168.1.1 ALIAS\n";
  const lines = parseMap(text, "map");
  assert.deepEqual(
    nodesOfMap(lines).map((n) => `${n.id} ${n.address}`),
    ["1 10.0.0.254", "2 10.0.0.255", "3 10.0.1.0", "4 10.0.1.1", "7 gate.example"],
  );
  assert.equal(formatMap(lines), "1 10.0.0.254 4\n7 gate.example 1\n1 192.168.1.1 ALIAS\n");
  assert.deepEqual(parseMap(formatMap(lines), "map"), lines);
  assert.deepEqual(parseMap("", "map"), []);
});

test("what makes no sense is said with its line", () => {
  const cases: [string, RegExp][] = [
    ["1 10.0.0.1", /map:1: want ID/],
    ["\n0 10.0.0.1 1", /map:2: number '0'/],
    ["1 10.0.0.1 0", /range '0'/],
    ["65535 10.0.0.1 2", /range '2'/],
    ["1 10.0.0 1", /address '10.0.0'/],
    ["1 10.0.0.256 1", /address/],
    ["1 -x 1", /address/],
    ["1 host 2", /begins at an IPv4 address/],
    ["1 255.255.255.255 2", /behind the last/],
    ["1 10.0.0.1 3\n3 10.0.0.9 1", /node 3 at 10.0.0.9 and node 3 at 10.0.0.3/],
    ["1 10.0.0.1 3\n9 10.0.0.2 1", /node 9 at 10.0.0.2 and node 2/],
    ["1 10.0.0.1 1\n2 10.0.0.2 ALIAS", /alias for node 2/],
  ];
  for (const [text, pattern] of cases) assert.throws(() => parseMap(text, "map"), wrong(pattern), text);
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(70000), fc.ipV4(), fc.oneof(fc.nat(300).map(String), fc.constant("ALIAS"), fc.string())), { maxLength: 4 }),
      (rows) => {
        const text = rows.map((r) => r.join(" ")).join("\n");
        try {
          const lines = parseMap(text, "map");
          assert.deepEqual(parseMap(formatMap(lines), "map"), lines);
        } catch (e) {
          assert.ok(e instanceof TeselaError && e.code === "E_CONFIG", String(e));
        }
      },
    ),
  );
});
