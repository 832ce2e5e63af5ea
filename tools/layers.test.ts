import assert from "node:assert/strict";
import { test } from "node:test";
import { importsOf } from "./imports.ts";
import { checkLayers, LAYERS } from "./layers.ts";

const messages = (path: string, text: string): string[] => checkLayers([{ path, text }]).map((f) => f.message);

test("every kind of import is seen, and none in comments or strings", () => {
  const text = [
    'import a from "./a.ts";',
    "import {",
    "  type B,",
    "  c,",
    '} from "./b.ts";',
    'export * from "./c.ts";',
    'import "./d.ts";',
    'const e = await import("./e.ts");',
    'const w = new Worker(new URL("./f.ts", import.meta.url));',
    '// import x from "./no1.ts";',
    '/** import x from "./no2.ts"; */',
    'const url = "http://example.org"; import g from "./g.ts";',
  ].join("\n");
  assert.deepEqual(
    importsOf(text).map((i) => i.specifier),
    ["./a.ts", "./b.ts", "./c.ts", "./d.ts", "./e.ts", "./f.ts"],
  );
});

test("arrows run one way", () => {
  assert.deepEqual(messages("src/engine/x.ts", 'import { a } from "../image/mod.ts";'), []);
  assert.deepEqual(messages("src/base/x.ts", 'import { a } from "../abi/mod.ts";'), []);
  assert.match(messages("src/image/x.ts", 'import { a } from "../engine/mod.ts";')[0] ?? "", /arrows run/);
  assert.match(messages("src/sys/x.ts", 'import { a } from "../wire/mod.ts";')[0] ?? "", /arrows run/);
  assert.match(messages("src/base/x.ts", 'import type { A } from "../sys/mod.ts";')[0] ?? "", /arrows run/);
});

test("other folders are entered by their door", () => {
  assert.match(messages("src/engine/x.ts", 'import { a } from "../image/capture.ts";')[0] ?? "", /behind the door/);
  assert.match(messages("test/cluster/x.test.ts", 'import { a } from "../../src/engine/table.ts";')[0] ?? "", /behind the door/);
  assert.deepEqual(messages("src/engine/x.ts", 'import { a } from "./table.ts";'), []);
  assert.deepEqual(messages("src/engine/sub/x.ts", 'import { a } from "../table.ts";'), []);
  assert.deepEqual(messages("src/wire/x.test.ts", 'import { a } from "../daemon/mod.ts";'), []);
});

test("koffi lives in src/sys/*.unsafe.ts only", () => {
  assert.deepEqual(messages("src/sys/libc.unsafe.ts", 'import koffi from "koffi";'), []);
  assert.match(messages("src/sys/libc.ts", 'import koffi from "koffi";')[0] ?? "", /koffi/);
  assert.match(messages("src/engine/a.unsafe.ts", 'import koffi from "koffi";')[0] ?? "", /koffi/);
});

test("barred modules", () => {
  assert.match(messages("src/engine/x.ts", 'import { spawn } from "node:child_process";')[0] ?? "", /libuv/);
  assert.match(messages("src/abi/x.ts", 'import { a } from "node:fs";')[0] ?? "", /imports nothing/);
  assert.match(messages("src/balance/x.ts", 'import { a } from "node:crypto";')[0] ?? "", /pure/);
  assert.deepEqual(messages("src/engine/x.test.ts", 'import { spawn } from "node:child_process";'), []);
});

test("a folder without a place is found, and no folder has two", () => {
  assert.match(messages("src/misc/x.ts", "")[0] ?? "", /no place/);
  assert.equal(new Set(LAYERS.flat()).size, LAYERS.flat().length);
});

test("source does not lean on tools or tests", () => {
  assert.match(messages("src/cli/x.ts", 'import { a } from "../../tools/files.ts";')[0] ?? "", /may not import/);
});
