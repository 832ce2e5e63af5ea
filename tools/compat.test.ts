import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { SYSCALLS } from "../src/abi/mod.ts";
import { compatTable, withTable } from "./compat.ts";
import { ROOT } from "./files.ts";

test("docs/compat.md says what the system call table says", () => {
  const page = readFileSync(join(ROOT, "docs/compat.md"), "utf8");
  assert.equal(withTable(page, compatTable(SYSCALLS)) === page, true, "run `npm run docs`");
});

test("a page without its markers is not written over", () => {
  assert.throws(() => withTable("# nothing\n", ""), /compat\.md/);
});
