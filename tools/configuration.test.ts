import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { settingsMarkdown } from "../src/config/mod.ts";
import { withSettings } from "./configuration.ts";
import { ROOT } from "./files.ts";

test("docs/configuration.md says what the table of settings says", () => {
  const page = readFileSync(join(ROOT, "docs/configuration.md"), "utf8");
  assert.equal(withSettings(page, settingsMarkdown()) === page, true, "run `npm run docs`");
});

test("a page of settings without its markers is not written over", () => {
  assert.throws(() => withSettings("# nothing\n", ""), /configuration\.md/);
});
