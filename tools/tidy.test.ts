import assert from "node:assert/strict";
import { test } from "node:test";
import { checkTidy, MAX_LINES } from "./tidy.ts";

const messages = (path: string, text: string): string[] => checkTidy({ path, text }).map((f) => f.message);

test("a clean file has no findings", () => {
  assert.deepEqual(messages("src/base/x.ts", 'export const any = 1; // any file\nexport const b = "any";\n'), []);
});

test("length has a ceiling, except for tables that say so", () => {
  const long = "x();\n".repeat(MAX_LINES + 1);
  assert.match(messages("src/a/x.ts", long)[0] ?? "", /ceiling/);
  assert.deepEqual(messages("src/a/x.ts", "x();\n".repeat(MAX_LINES)), []);
  assert.deepEqual(messages("src/a/x.ts", `// tidy: table\n${long}`), []);
  assert.deepEqual(messages("src/a/x.ts", `/**\n * Numbers.\n * tidy: table\n */\n${long}`), []);
  assert.equal(messages("src/a/x.ts", `${"\n".repeat(40)}// tidy: table\n${long}`).length, 1);
});

test("unfinished marks and silenced checks", () => {
  for (const mark of ["TO" + "DO", "FIX" + "ME"]) assert.match(messages("src/a/x.ts", `// ${mark}: later\n`)[0] ?? "", /unfinished/);
  assert.match(messages("src/a/x.ts", `// @ts-${"ignore"}\n`)[0] ?? "", /type check/);
  assert.match(messages("src/a/x.ts", `// biome-${"ignore"} lint/suspicious/noExplicitAny: no\n`)[0] ?? "", /no `any`/);
});

test("only and skips", () => {
  const at = "src/a/x.test.ts";
  assert.equal(messages(at, `test.${"only"}("x", () => {});\n`).length, 1);
  assert.equal(messages(at, `test.${"skip"}("x", () => {});\n`).length, 1);
  assert.equal(messages(at, `t.${"skip"}();\n`).length, 1);
  assert.equal(messages(at, `test("x", { ${"skip"}: true }, f);\n`).length, 1);
  assert.equal(messages(at, `test("x", { ${"skip"}: !root }, f);\n`).length, 1);
  assert.deepEqual(messages(at, 'test("x", { skip: root ? false : "needs root" }, f);\nt.skip("needs root");\n'), []);
});

test("places on one machine and registries", () => {
  assert.equal(messages("docs/x.md", `see ${"/work"}/main\n`).length, 1);
  assert.deepEqual(messages("src/x.sh", `mkdir "$fs${"/work"}/1"\n`), []);
  assert.equal(messages("docs/x.md", `from registry.npm${"js.org"}\n`).length, 1);
});

test("hand-formatted files: tabs, width, end of line", () => {
  assert.match(messages("test/programs/x.c", "\tx();\n")[0] ?? "", /tab/);
  assert.match(messages("bin/x", `${"#".repeat(141)}\n`)[0] ?? "", /columns/);
  assert.match(messages("docs/x.md", "a \n")[0] ?? "", /white space/);
  assert.match(messages("docs/x.md", "a")[0] ?? "", /newline/);
});
