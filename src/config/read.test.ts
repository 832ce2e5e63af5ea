import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { BALANCE_KNOBS, PLACE_KNOBS, USHER_KNOBS } from "../balance/mod.ts";
import { TeselaError } from "../base/mod.ts";
import { LAN } from "../cluster/mod.ts";
import { configFile, readSettings, readValues, settingsOf, valuesOf } from "./read.ts";
import { fits, wanted } from "./row.ts";
import { SECTIONS, sectionNames } from "./sections.ts";

const FILE = "/etc/tesela/tesela.toml";
const settings = (text: string) => settingsOf(valuesOf(text, FILE));

/** What is said of a wrong file. */
function refusal(text: string): string {
  try {
    valuesOf(text, FILE);
  } catch (e) {
    assert.ok(isConfigError(e), String(e));
    return e.message;
  }
  throw new Error(`'${text}' was taken`);
}
const isConfigError = (e: unknown): e is TeselaError => e instanceof TeselaError && e.code === "E_CONFIG";

test("nothing said means the defaults of the code, all of which are within their bounds", () => {
  const s = settings("");
  assert.deepEqual(s.balance, BALANCE_KNOBS);
  assert.deepEqual(s.usher, USHER_KNOBS);
  assert.deepEqual(s.place, PLACE_KNOBS);
  assert.deepEqual(s.gossip, LAN);
  assert.deepEqual(s.policy, { level: true, scope: "levelled", loadlevellist: "/etc/tesela/loadlevellist", rivals: true });
  assert.deepEqual(s.guests, { processes: 1024, memory: 0, weight: 10, group: true });
  for (const name of sectionNames) {
    for (const [key, row] of Object.entries(SECTIONS[name].rows)) assert.ok(fits(row, row.default), `${name}.${key}: ${wanted(row)}`);
  }
});

test("what is said reaches those who use it, shared costs all three", () => {
  const s = settings(
    [
      ...["[balance]", 'scope = "all"', "level = false", "rivals = false", "guard = 2", "minStayMs = 1_000"],
      ...["[cost]", "freezeMs = 70", "[usher]", "marginMs = 2000", "[place]", "placeGain = 0.5"],
      ...["[gossip]", "fanout = 5", "[guests]", "memory = 1073741824", "group = false"],
    ].join("\n"),
  );
  assert.deepEqual(s.policy, { level: false, scope: "all", loadlevellist: "/etc/tesela/loadlevellist", rivals: false });
  assert.deepEqual(s.balance, { ...BALANCE_KNOBS, guard: 2, minStayMs: 1000, freezeMs: 70 });
  assert.deepEqual(s.usher, { ...USHER_KNOBS, marginMs: 2000, freezeMs: 70 });
  assert.deepEqual(s.place, { ...PLACE_KNOBS, placeGain: 0.5, freezeMs: 70 });
  assert.deepEqual(s.gossip, { ...LAN, fanout: 5 });
  assert.deepEqual(s.guests, { processes: 1024, memory: 2 ** 30, weight: 10, group: false });
});

test("what is wrong is named with file, key and what is wanted", () => {
  const cases: [text: string, want: RegExp][] = [
    ["[balance]\ngaurd = 2", /unknown key balance\.gaurd: want balance\.guard$/],
    ["[blance]\nguard = 2", /unknown key blance: want balance$/],
    ["guard = 2", /unknown key guard: want (one of balance, cost|guests)/],
    ["[cost]\nguard = 2", /unknown key cost\.guard: want one of maxAgeMs, /],
    ["[balance]\nconstructor = 2", /unknown key balance\.constructor/],
    ["[balance]\n__proto__ = 2", /unknown key balance\.__proto__/],
    ["__proto__ = 2", /unknown key __proto__/],
    ["balance = 3", /balance is 3: want a table, \[balance\]/],
    ["[[balance]]\nguard = 2", /balance is .*: want a table/],
    ['[balance]\nguard = "2"', /balance\.guard is "2": want a number, 1 to 100$/],
    ["[balance]\nguard = 0.5", /balance\.guard is 0\.5: want a number, 1 to 100$/],
    ["[balance]\nguard = nan", /balance\.guard is NaN: want/],
    ["[balance]\noverload = inf", /balance\.overload is Infinity: want/],
    ["[balance]\nminStayMs = 0.5", /balance\.minStayMs is 0\.5: want a whole number of ms/],
    ["[balance]\nlevel = 1", /balance\.level is 1: want true or false$/],
    ['[balance]\nscope = "some"', /balance\.scope is "some": want "levelled" or "all"$/],
    ['[balance]\nloadlevellist = "list"', /balance\.loadlevellist is "list": want a full path/],
    ["[guests]\nweight = 0", /guests\.weight is 0: want a whole number of per cent, 1 to 100/],
    ["[guests]\nprocesses = []", /guests\.processes is \[\]: want/],
    ["[guests]\nprocesses = 2026-01-01", /guests\.processes is "2026-01-01": want/],
    ["[cost]\nlowMarkMin = 2\nlowMarkMax = 1", /cost\.lowMarkMin is 2: want at most cost\.lowMarkMax, 1/],
    ["[gossip]\nprobeMs = 200", /gossip\.probeTimeoutMs is 250: want less than gossip\.probeMs, 200/],
    ["[gossip]\nmessageBytes = 9000", /gossip\.messageBytes is 9000: want a whole number of bytes, 512 to 13\d\d/],
    ["[balance]\nguard = 2\nguard = 3", /tesela\.toml:3:1: /],
    ["[balance\nguard = 2", /tesela\.toml:1:\d+: /],
    ["[guests]\nmemory = 99999999999999999999", /tesela\.toml:2:\d+: /],
  ];
  for (const [text, want] of cases) {
    const said = refusal(text);
    assert.match(said, want);
    assert.ok(said.startsWith(FILE) && !said.includes("\n"), said);
  }
  assert.match(refusal("[balance]\nguard = 0\nx = 1\n[usher]\nnoise = -1"), /balance\.guard is 0.*balance\.x.*usher\.noise is -1/);
});

test("a file that is not there means defaults, one that cannot be read does not", () => {
  const dir = mkdtempSync(join(tmpdir(), "tesela-"));
  try {
    assert.deepEqual(settingsOf(readValues(join(dir, "absent.toml"), false)).balance, BALANCE_KNOBS);
    assert.throws(
      () => readSettings(join(dir, "absent.toml")),
      /absent\.toml: there is no such file or directory: make it, or unset TESELA_CONFIG/,
    );
    writeFileSync(join(dir, "some.toml"), "[balance]\nguard = 3\n");
    assert.equal(readSettings(join(dir, "some.toml")).balance.guard, 3);
    mkdirSync(join(dir, "dir.toml"));
    assert.throws(() => readSettings(join(dir, "dir.toml")), isConfigError);
  } finally {
    rmSync(dir, { recursive: true });
  }
  assert.equal(configFile({}), FILE);
  assert.equal(configFile({ TESELA_CONFIG: "/x.toml" }), "/x.toml");
  assert.throws(() => configFile({ TESELA_CONFIG: "x.toml" }), /want an absolute path/);
});
