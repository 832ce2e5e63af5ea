import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Log } from "../base/mod.ts";
import { LiveSettings } from "./live-settings.ts";
import { Policies } from "./policies.ts";

class Recorder extends Log {
  readonly said: string[] = [];
  override info(): void {}
  override error(message: string, fields?: Record<string, unknown>): void {
    this.said.push(`${message}: ${fields?.["error"]}`);
  }
}

test("read again: all of a good one, nothing of a wrong one", () => {
  const dir = mkdtempSync(join(tmpdir(), "tesela-"));
  try {
    const [file, list] = [join(dir, "tesela.toml"), join(dir, "list")];
    const write = (guard: string) => writeFileSync(file, `[balance]\nguard = ${guard}\nloadlevellist = "${list}"\n`);
    const log = new Recorder();
    write("2");
    writeFileSync(list, "/a\n");
    const live = new LiveSettings(log, file);
    const state = () => [live.now.balance.guard, ...live.programs];
    assert.deepEqual(state(), [2, "/a"]);
    write("0");
    live.reload();
    assert.deepEqual(state(), [2, "/a"]);
    assert.match(log.said.pop() ?? "", /stays as it was: .*tesela\.toml: balance\.guard is 0: want a number, 1 to 100/);
    // A wrong list holds back the file that names it.
    write("3");
    writeFileSync(list, "a\n");
    live.reload();
    assert.deepEqual(state(), [2, "/a"]);
    assert.match(log.said.pop() ?? "", /list:1: 'a': want the full path/);
    writeFileSync(list, "/b\n");
    live.reload();
    assert.deepEqual([...state(), ...log.said], [3, "/b"]);
    rmSync(file);
    live.reload();
    assert.deepEqual(state(), [3, "/b"]);
    assert.match(log.said.pop() ?? "", /stays as it was: .*tesela\.toml: there is no such file/);
    write("x");
    assert.throws(() => new LiveSettings(log, file), { code: "E_CONFIG" });
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test("what nobody has said about levelling follows the settings, what was said is kept", () => {
  const dir = mkdtempSync(join(tmpdir(), "tesela-"));
  try {
    const file = join(dir, "policies.json");
    let usual = true;
    const policies = () => new Policies(file, () => usual);
    const one = policies();
    one.set("block", true);
    usual = false;
    assert.deepEqual([one.level, policies().level, policies().list()], [false, false, ["block"]]);
    one.level = true;
    assert.deepEqual([one.level, policies().level, policies().list()], [true, true, ["block"]]);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
