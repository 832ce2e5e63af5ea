import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { ROOT } from "./files.ts";

const UNITS = ["tesela-engine.service", "teselad.service"] as const;
const INSTALLED = "/opt/tesela/bin/";

const textOf = (unit: string): string => readFileSync(join(ROOT, "packaging", unit), "utf8");
const values = (unit: string, key: string): string[] =>
  [...textOf(unit).matchAll(new RegExp(`^${key}=(.*)$`, "gm"))].flatMap(([, value = ""]) => value.split(" "));

test("teselad may end at any time and leave the engine running, whose guests end with it alone", () => {
  for (const key of ["Requires", "Requisite", "BindsTo", "PartOf", "Upholds", "Conflicts", "PropagatesStopTo", "PropagatesReloadTo"]) {
    for (const unit of UNITS) assert.deepEqual(values(unit, key), [], `${unit}: ${key}`);
  }
  assert.ok(values("teselad.service", "Wants").includes("tesela-engine.service"));
  assert.ok(!textOf("tesela-engine.service").match(/^\w+=.*teselad/m));
  // What is made for one unit is taken away with it, and both have their sockets in the same place.
  for (const unit of UNITS) assert.deepEqual(values(unit, "RuntimeDirectory"), [], unit);
  assert.deepEqual(values("tesela-engine.service", "KillMode"), ["mixed"]);
});

test("systemd understands the units", { skip: verifier() }, () => {
  const dir = mkdtempSync(join(tmpdir(), "tesela-"));
  try {
    for (const unit of UNITS) {
      const text = textOf(unit);
      assert.ok(text.includes(`ExecStart=${INSTALLED}`));
      writeFileSync(join(dir, unit), text.replaceAll(INSTALLED, `${ROOT}/bin/`));
    }
    const { status, stderr } = verify(...UNITS.map((unit) => join(dir, unit)));
    // A key of a later systemd is left alone by an earlier one, which says so.
    const said = stderr.split("\n").filter((line) => line.includes(dir) && !/Unknown key.*DelegateSubgroup/.test(line));
    assert.deepEqual([status, said], [0, []], stderr);
  } finally {
    rmSync(dir, { recursive: true });
  }
});

function verify(...units: string[]): { status: number | null; stderr: string } {
  return spawnSync("systemd-analyze", ["verify", "--man=no", ...units], { encoding: "utf8" });
}

function verifier(): string | false {
  return spawnSync("systemd-analyze", ["--version"]).error ? "systemd-analyze is not here" : false;
}
