import assert from "node:assert/strict";
import { mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { readLoadLevelList } from "./loadlevellist.ts";
import { settingsToml } from "./print.ts";
import { valuesOf } from "./read.ts";
import { SECTIONS, sectionNames } from "./sections.ts";

test("what is printed, read again, makes the same settings", () => {
  for (const text of [
    "",
    '[balance]\nscope = "all"\nguard = 1.75\nloadlevellist = "/a \\"b\\" c"\n[guests]\ngroup = false\nmemory = 5_000',
  ]) {
    const values = valuesOf(text, "/f");
    assert.deepEqual(valuesOf(settingsToml(values, "from\n[here]\u001b"), "/printed"), values);
  }
});

test("each key is printed with what it does, its bounds and its default", () => {
  const text = settingsToml(valuesOf("[balance]\nguard = 2", "/f"), "from /f");
  for (const name of sectionNames) {
    assert.ok(text.includes(`\n[${name}]\n`));
    for (const key of Object.keys(SECTIONS[name].rows))
      assert.match(text, new RegExp(`\n# [^\n]*; (the default|default [^\n]*)\n${key} = `));
  }
  assert.ok(text.includes("# a number, 1 to 100; default 1.3\nguard = 2\n"));
  assert.ok(text.split("\n").every((line) => line.length <= 120));
});

test("a loadlevellist names programs by what they are, and its wrong lines", () => {
  const dir = realpathSync(mkdtempSync(join(tmpdir(), "tesela-")));
  try {
    const file = join(dir, "list");
    assert.deepEqual(readLoadLevelList(file), new Set());
    writeFileSync(join(dir, "prog"), "");
    symlinkSync("prog", join(dir, "link"));
    writeFileSync(file, `# programs\n\n  ${dir}/link  # by its link\n${dir}/absent\n${dir}/c#\r\n`);
    assert.deepEqual(readLoadLevelList(file), new Set([`${dir}/prog`, `${dir}/absent`, `${dir}/c#`]));
    writeFileSync(file, `${dir}/prog\ncc1\n`);
    assert.throws(() => readLoadLevelList(file), { code: "E_CONFIG", message: `${file}:2: 'cc1': want the full path of a program` });
    assert.throws(() => readLoadLevelList(dir), { code: "E_CONFIG" });
  } finally {
    rmSync(dir, { recursive: true });
  }
});
