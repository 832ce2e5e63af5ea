import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { loadCa, signEntry, writeRecord } from "../cluster/mod.ts";
import { cutTo, nearest, nodePaths, TeselaError, textTable, textWidth } from "../base/mod.ts";
import { otherName } from "./commands/join.ts";
import { nodesTable } from "./commands/nodes.ts";
import { psTable } from "./commands/ps.ts";
import { whyText } from "./commands/why.ts";
import { commandHelp, overview } from "./help.ts";
import { parse } from "./parse.ts";
import { quote, repairEnvironment } from "./run/environ.ts";
import { parseNodeList } from "../daemon/mod.ts";
import { explained, REASONS } from "./reasons.ts";
import { COMMANDS, findCommand } from "./table.ts";

const TESELA = fileURLToPath(new URL("../../bin/tesela", import.meta.url));
const command = (name: string) => findCommand(name) ?? assert.fail(name);
const misused = (text: RegExp) => (e: unknown) => e instanceof TeselaError && e.code === "E_USAGE" && text.test(e.message);

function cli(dir: string, args: readonly string[], input = ""): { status: number | null; stdout: string; stderr: string } {
  const env = { ...process.env, TESELA_RUN: join(dir, "run"), TESELA_STATE: join(dir, "state") };
  return spawnSync(TESELA, args, { encoding: "utf8", env, input });
}
class Dir implements Disposable {
  readonly path: string = mkdtempSync(join(tmpdir(), "tesela-"));
  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

test("options in all their forms, operands, the end of options", () => {
  const run = parse(command("run"), ["-Fn", "2", "-h", "--one-of=1-4", "-j5", "bc", "-l", "--", "x"]);
  assert.deepEqual([...run.switches], ["force", "home"]);
  assert.deepEqual(
    [...run.values],
    [
      ["node", ["2"]],
      ["one-of", ["1-4", "5"]],
    ],
  );
  assert.deepEqual(run.operands, ["bc", "-l", "--", "x"]);
  assert.deepEqual(parse(command("migrate"), ["1", "--json", "--", "-2"]).operands, ["1", "-2"]);
  const migrate =
    (...args: string[]) =>
    () =>
      parse(command("migrate"), args);
  assert.throws(migrate("1"), misused(/want \[options\] PID NODE\|home/));
  assert.throws(migrate("1", "2", "3"), misused(/unexpected '3'/));
  assert.throws(migrate("--wyh", "1", "2"), misused(/unknown option --wyh: did you mean --why\?/));
  assert.throws(migrate("--why=no", "1", "2"), misused(/--why takes no value/));
  assert.throws(() => parse(command("run"), ["-N"]), misused(/-N needs a value: NODE/));
});

test("every command has help that names its options; the overview names every command", () => {
  const all = overview(COMMANDS);
  for (const c of COMMANDS) {
    const text = commandHelp(c);
    for (const o of c.options) assert.equal(text.includes(`--${o.long}`), o.lacks === undefined, `${c.name} --${o.long}`);
    assert.ok(all.includes(`  ${c.name} `), c.name);
    const letters = c.options.flatMap((o) => [o.short, ...(o.also ?? [])]).filter((l) => l !== undefined);
    assert.equal(new Set(letters).size, letters.length, `${c.name}: a letter twice`);
  }
});

test("a command of two words, whose first is one too, is found by both", () => {
  using dir = new Dir();
  const asked = (...args: string[]) => {
    const { status, stdout, stderr } = cli(dir.path, args);
    return `${status} ${stdout}${stderr}`;
  };
  assert.match(asked("demo", "proclb", "--on", "x"), /^2 tesela: --on 'x': want 0 to 86400 \(tesela demo proclb --help\)\n$/);
  assert.match(asked("demo", "--seconds", "5"), /^2 tesela: --seconds '5': want 10 to 3600 \(tesela demo --help\)\n$/);
  assert.match(asked("demo", "dance"), /^2 tesela: demo: unexpected 'dance'/);
  assert.match(asked("help", "demo", "moves"), /^0 (.|\n)*moved around three local hosts by command/);
});

test("tables are aligned by what is seen, and cut with a mark", () => {
  assert.equal(
    textTable(
      [
        ["a", "1"],
        ["b\u00e9", "22"],
      ],
      [{ title: "X" }, { title: "N", right: true }],
    ),
    "X    N\na    1\nb\u00e9  22",
  );
  assert.equal(textWidth("a\u0301\u4e2d"), 3);
  assert.equal(cutTo("abcdef", 4), "abc\u2026");
  assert.equal(cutTo("abcd", 4), "abcd");
  assert.equal(nearest("ndoes", ["nodes", "run"]), "nodes");
  assert.equal(nearest("zzz", ["nodes", "run"]), null);
});

test("ps: own PIDs as they are, others with their home; nothing that a terminal would act on", () => {
  const row = {
    pid: 7,
    cpid: "1:7",
    home: 1,
    node: 2,
    nmigs: 3,
    state: "R",
    cpu: 0.5,
    rss: 4096,
    user: "ann",
    lock: false,
    cantmove: ["a", "b"],
    command: "x\u001b[2Jy",
  };
  const [head, own] = psTable([row], 1, 200).split("\n");
  assert.match(head ?? "", /^PID +USER +HOME +NODE +NMIGS +S +%CPU +RSS +LOCK +CANTMOVE +COMMAND$/);
  assert.match(own ?? "", /^ +7 +ann +1 +2 +3 +R +50.0 +4.0 KiB +- +a,b +x\?\[2Jy$/);
  assert.match(psTable([row], 2, 30).split("\n")[1] ?? "", /^1:7 .*\u2026$/);
});

test("ctl: what makes no sense is said, before anybody is asked", () => {
  using dir = new Dir();
  const said = (...args: string[]): string => {
    const { status, stderr } = cli(dir.path, ["ctl", ...args]);
    return `${status} ${stderr}`;
  };
  for (const [args, text] of [
    [["setspeed", "fast"], /^2 tesela: setspeed 'fast': want a speed/],
    [["setyard", "pIII"], /^2 tesela: setyard 'pIII': want a speed, .* or 'this'/],
    [["setdecay", "5"], /^2 tesela: setdecay: want INTERVAL SLOW FAST/],
    [["setdecay", "5", "x", "3"], /^2 tesela: setdecay 'x': want INTERVAL/],
    [["block", "3"], /^2 tesela: block: unexpected '3'; another node is named by --node/],
    [["getload", "2", "3"], /^2 tesela: getload: unexpected '3'/],
    [["getyard", "2"], /^2 tesela: getyard: of this node only/],
    [["nomfs"], /^1 tesela: nomfs: there is no file system/],
    [["mask"], /^2 tesela: mask: want PID and a list/],
    [["mask", "7", "1-4", "--not", "3"], /^2 tesela: mask: want PID and a list/],
    [["mask", "7", "4-1"], /^2 tesela: node list '4-1'/],
    [["mask", "bc", "all"], /^2 tesela: PID 'bc'/],
    [[], /^2 tesela: ctl: want /],
    [["foo"], /^2 tesela: ctl: no such verb 'foo': want one of stay nostay .* expel .* mask status .* gettune \(/],
    [["blcok"], /^2 tesela: ctl: no such verb 'blcok': did you mean 'block'\? \(/],
  ] as const)
    assert.match(said(...args), text);
  assert.deepEqual(parse(command("ctl"), ["-stay"]).operands, ["nostay"]);
});

test("sim: a scenario that is not there, or none, is told with what it is and what is wanted", () => {
  using dir = new Dir();
  const file = join(dir.path, "bad.toml");
  writeFileSync(file, "x = [\n");
  for (const [name, text] of [
    [
      "nosuch",
      /^1 tesela: scenario 'nosuch': there is none of that name, and there is no such file or directory \(scenarios are .*heavy-tail.*docs\/sim\.md/,
    ],
    [dir.path, /^1 tesela: scenario '.*': that is a directory \(/],
    [file, /^1 tesela: scenario \/.*\/bad\.toml: no JSON: Unexpected .* \(a scenario is an object in JSON: docs\/sim\.md\)\n$/],
  ] as const) {
    const { status, stderr } = cli(dir.path, ["sim", name]);
    assert.match(`${status} ${stderr}`, text);
  }
});

test("join: a node that is not called as its host is told why", () => {
  const peer = (id: number, name: string) => ({ id, name, address: "10.0.0.1", port: 4660 });
  const entry = { ...peer(2, "h2"), epoch: 1, key: "", sig: "", standing: "left" as const };
  const welcome = { node: peer(4, "n4"), cluster: "c", cert: "", gossip: "", peers: [peer(1, "h1"), peer(4, "n4")], record: [entry] };
  assert.deepEqual(otherName(welcome, "n4", "h2"), []);
  assert.deepEqual(otherName(welcome, undefined, "n4"), []);
  assert.match(
    otherName(welcome, undefined, "h1").join(),
    /^its name is n4, for 'h1' is node 1's, and each has a name of its own; .*--node-name/,
  );
  assert.match(otherName(welcome, undefined, "h2").join(), /'h2' is node 2's, which has left: its name stays reserved/);
  assert.match(otherName(welcome, undefined, "a_b").join(), /^its name is n4, and not the host's, 'a_b'$/);
});

test("why: what was said of a process, and who moved it by hand", () => {
  const about = { cpid: "1:7", node: 2, levelled: true, decisions: [] };
  assert.match(
    whyText({ ...about, mask: "!3", job: "io" }),
    /node 2; it is an I\/O job; by itself it goes home and to all nodes but 3; nothing/,
  );
  const held = (more: object): string => whyText({ ...about, ...more });
  assert.match(held({ levelled: false }), /node 2; it is not under load levelling: start it/);
  assert.match(held({ lock: true }), /; it is locked, .*tesela migrate\)$/);
  assert.match(held({ level: false }), /; load levelling is off on node 2: .*tesela loadlevel on --node 2 lets it$/);
  assert.match(held({ quiet: true }), /; node 2 is quiet: .*tesela ctl noquiet --node 2 lets it$/);
  const stays = { pid: 7, home: 1, from: 2, to: null, motive: "load", considered: [], agoMs: 0, times: 1 };
  assert.match(
    held({ decisions: [{ ...stays, why: "stays: it may not move by itself (stay, mem_lock, odd)" }] }),
    /\(stay, mem_lock, odd\)\n {4}stay: it is where no process moves out by itself: tesela ctl nostay .*\n {4}mem_lock: it has locked memory$/,
  );
  const move = { pid: 7, home: 1, from: 1, to: 2, why: "moves to node 2: told to by user 0", considered: [], agoMs: 1500, times: 1 };
  const text = whyText({ ...about, decisions: [{ ...move, motive: "command" }] });
  assert.equal(text, "1:7 runs on node 2\n1.5 s ago, by command: moves to node 2: told to by user 0");
});

test("each reason not to leave is explained, in the page and in what is said", () => {
  const page =
    readFileSync(new URL("../../docs/compat.md", import.meta.url), "utf8")
      .split("\n## Reasons not to leave\n")[1]
      ?.split("\n## ")[0] ?? "";
  const rows = page.split("\n").filter((line) => line.startsWith("| `") && !line.startsWith("| `clone`"));
  const words = rows.flatMap((line) => [...(line.split("|")[1] ?? "").matchAll(/`(\w+)`/g)].map(([, word]) => word));
  assert.deepEqual(words.sort(), Object.keys(REASONS).sort());
  const all = "process 7 cannot leave home now: ";
  assert.equal(explained(`${all}seccomp`, ["seccomp"]), "it has a system call filter of its own");
  assert.equal(
    explained(`${all}odd, ended, traced`, ["odd", "ended", "traced"]),
    "ended: it has ended; traced: it is being traced: end the debugger first",
  );
  assert.deepEqual(
    [explained(`${all}odd`, ["odd"]), explained("process 7 is stopped; continue it first", ["stopped"])],
    [undefined, undefined],
  );
});

test("nodes: a dead one has no figures", () => {
  const node = {
    id: 1,
    name: "h1",
    address: "10.0.0.1",
    cpus: 1.5,
    speed: 10_000,
    load: 0.5,
    memTotal: 2048,
    memFree: 1024,
    guests: 1,
    away: 0,
    flags: ["block"],
  };
  const lines = nodesTable(
    [
      { ...node, state: "up" },
      { ...node, id: 2, state: "down" },
    ],
    true,
  ).split("\n");
  assert.match(lines[1] ?? "", /^ 1 +h1 +up +1.5 +0.50 +1.0 KiB +1 +0 +2.0 KiB +10000 +10.0.0.1 +block$/);
  const brief = nodesTable([{ ...node, flags: ["stay", "block"], state: "up" }], false);
  assert.match(brief, /^ID +NAME .* AWAY +FLAGS\n 1 +h1 .* 1 +0 +stay,block$/);
  assert.match(lines[2] ?? "", /^ 2 +h1 +down +- +- +- +- +- +- +- +10.0.0.1 +block$/);
});

test("node lists, and the environment put back", () => {
  assert.deepEqual(parseNodeList("1-3,2,7"), [1, 2, 3, 7]);
  for (const bad of ["", "0", "3-1", "1-", "x", "1,,2", "70000"]) assert.throws(() => parseNodeList(bad), RangeError);
  const fix = repairEnvironment(["A=1", "B=it's", "C.d=x", "PPID=5", "A=2"], ["A=1", "B=", "PWD=/", "NODE_OPTIONS=", "_=x", "PPID=9"]);
  assert.deepEqual(fix, { lines: ["unset PWD", "export B='it'\\''s'"], beyond: ["C.d=x", "PPID=5"] });
  assert.equal(spawnSync("sh", ["-c", `printf %s ${quote("a'b\n$x")}`], { encoding: "utf8" }).stdout, "a'b\n$x");
});

test("main: statuses, one clear line, suggestions, JSON errors", () => {
  using dir = new Dir();
  const run = (...args: string[]) => cli(dir.path, args);
  assert.equal(run().status, 2);
  assert.deepEqual(
    [run("--help").status, run("help", "run").status, run("cluster", "--help").status, run("ps", "--help").status, run("map", "-h").status],
    [0, 0, 0, 0, 0],
  );
  assert.match(run("--version").stdout, /^tesela \d+\.\d+\.\d+\n$/);
  const slip = run("nodse");
  assert.deepEqual([slip.status, slip.stderr], [2, "tesela: unknown command 'nodse' (did you mean 'nodes'?)\n"]);
  assert.equal(run("cluster", "pu").stderr, "tesela: unknown command 'cluster pu' (did you mean 'cluster up'?)\n");
  assert.equal(run("node", "xyz").stderr, "tesela: unknown command 'node xyz' (tesela node --help lists them)\n");
  assert.deepEqual([run("help", "-h").status, run("shell", "-h").stdout.slice(0, 14)], [0, "tesela shell -"]);
  assert.equal(run("migrate", "x", "2").status, 2);
  const none = run("nodes", "--json");
  assert.equal(none.status, 1);
  assert.equal(JSON.parse(none.stdout).error, "E_NODAEMON");
  assert.match(none.stderr, /^tesela: teselad does not run on this node \(tesela doctor says .*\)\n$/);
  assert.equal(JSON.parse(none.stdout).socket, join(dir.path, "run/teselad.sock"));
});

test("init makes a node, token a token, and join says what is wrong", () => {
  using dir = new Dir();
  const [first, second] = [join(dir.path, "1"), join(dir.path, "2")];
  assert.equal(cli(first, ["token"]).status, 1, "no cluster yet");
  const made = cli(first, ["init", "--name", "test", "--node-name", "one", "--address", "127.0.0.1", "--port", "1", "--json"]);
  assert.deepEqual(JSON.parse(made.stdout), { id: 1, name: "one", address: "127.0.0.1", port: 1, cluster: "test" });
  assert.match(cli(first, ["init"]).stderr, /this machine is a node already/);
  const identity = join(first, "state/identity");
  for (const file of ["node.key", "ca.key", "gossip.key"]) assert.equal(statSync(join(identity, file)).mode & 0o777, 0o600, file);
  const token = cli(first, ["token", "--ttl", "10m"]).stdout;
  assert.match(token, /^tesela2\.[\w-]+\n$/);
  assert.deepEqual(
    readdirSync(join(identity, "tokens")).map((f) => statSync(join(identity, "tokens", f)).mode & 0o777),
    [0o600],
  );
  for (const ttl of ["0", "x", "31d", "-5s"]) assert.equal(cli(first, ["token", "--ttl", ttl]).status, 2, ttl);
  assert.match(cli(second, ["join"]).stderr, /^tesela: join: want --token/);
  assert.match(cli(second, ["up", "h2"]).stderr, /node\.json is missing: run `tesela init` or `tesela join` first/);
  assert.match(cli(first, ["token", "--id", "1"]).stderr, /^tesela: node 1 \(one\) is a member/);
  assert.match(cli(first, ["token", "--node-name", "one"]).stderr, /^tesela: another node is called one/);
  for (const [at, ...command] of [
    [first, "token"],
    [first, "up", "h2"],
    [second, "join", "--token", token.trim()],
  ] as const)
    assert.match(cli(at, [...command, "--address", "foo"]).stderr, /^tesela: --address 'foo': want an IP address/, command.join(" "));
  assert.equal(cli(second, ["join", "--token", "rubbish"]).status, 2);
  assert.equal(cli(second, ["join", "a b", "--token", "-"], token).status, 2);
  // Nothing listens there.
  const down = cli(second, ["join", "--token", "-", "--json"], token);
  assert.equal(JSON.parse(down.stdout).error, "E_NODE_DOWN");
  assert.equal(existsSync(join(second, "state/node.json")), false);
  const ca = loadCa(identity);
  const own = { id: 1, name: "one", address: "127.0.0.1", port: 1, key: "A".repeat(43) };
  const removed = signEntry(ca, { ...own, epoch: 2, standing: "removed" });
  writeRecord(nodePaths({ TESELA_STATE: join(first, "state") }), { cluster: "test", all: () => [removed] });
  assert.match(cli(first, ["token"]).stderr, /^tesela: node 1 was removed from cluster 'test': it says nothing of who belongs/);
  rmSync(join(identity, "ca.key"));
  assert.equal(JSON.parse(cli(first, ["token", "--json"]).stdout).error, "E_MISSING");
});

test("a static map is written, printed and taken away again", () => {
  using dir = new Dir();
  assert.equal(cli(dir.path, ["showmap"]).status, 1, "no node yet");
  cli(dir.path, ["init", "--id", "2", "--node-name", "two", "--address", "10.0.0.2"]);
  const peers = (): string[] =>
    (JSON.parse(readFileSync(join(dir.path, "state/peers.json"), "utf8")) as { id: number; name: string; address: string }[]).map(
      (p) => `${p.id} ${p.name} ${p.address}`,
    );
  const map = "1 10.1.0.1 3 # three\n2 192.168.7.2 ALIAS\n";
  assert.equal(cli(dir.path, ["map", "-w", "-f", "-"], map).stdout, "3 nodes are in the map\n");
  assert.deepEqual(peers(), ["1 n1 10.1.0.1", "2 two 10.1.0.2", "3 n3 10.1.0.3"]);
  assert.equal(cli(dir.path, ["map", "-r"]).stdout, "1 10.1.0.1 3\n2 192.168.7.2 ALIAS\n");
  assert.match(cli(dir.path, ["showmap"]).stdout, /^This is node 2\nBASE +ADDRESS +COUNT\n +1 +10.1.0.1 +3\n +2 +192.168.7.2 +ALIAS\n$/);
  assert.match(cli(dir.path, ["map", "-w", "-f", "-"], "7 10.1.0.1 3\n").stderr, /this node, 2 \(two\), is not in the map/);
  assert.match(cli(dir.path, ["map", "-w", "-f", "/nosuch"]).stderr, /^tesela: \/nosuch: there is no such file or directory\n$/);
  assert.match(cli(dir.path, ["map", "-w", "-f", "/etc"]).stderr, /^tesela: \/etc: that is a directory\n$/);
  assert.match(cli(dir.path, ["map", "-w", "-f", "-"], "x\n").stderr, /stdin:1: want ID ADDRESS RANGE/);
  assert.equal(cli(dir.path, ["map", "-p7", "-r"]).status, 1);
  assert.deepEqual([cli(dir.path, ["map", "-w"]).status, cli(dir.path, ["map", "-w", "-r"]).status], [2, 2]);
  assert.equal(cli(dir.path, ["map", "-off"]).stdout, "the map is off: 1 nodes are known\n");
  assert.deepEqual(peers(), ["2 two 10.1.0.2"]);
});

test("discovery is set up, and its settings are kept", () => {
  using dir = new Dir();
  const json = (...args: string[]): unknown => JSON.parse(cli(dir.path, ["discover", "--json", ...args]).stdout);
  const off = { on: true, interfaces: null, seeds: [], ttl: 1, heard: null };
  assert.deepEqual(json(), off);
  assert.deepEqual(json("-i", "lo", "-m", "3", "-s", "10.0.0.1"), {
    on: true,
    interfaces: ["lo"],
    seeds: ["10.0.0.1"],
    ttl: 3,
    heard: null,
  });
  assert.deepEqual(json("--off", "-n"), { on: false, interfaces: ["lo"], seeds: ["10.0.0.1"], ttl: 3, heard: null });
  assert.deepEqual(json("-i", "all", "-s", "none", "-m", "1"), off);
  const strange = cli(dir.path, ["discover", "-i", "lo,nosuch0"]);
  assert.deepEqual([strange.status, json()], [1, off], "and nothing is kept of it");
  assert.match(strange.stderr, /^tesela: there is no network interface 'nosuch0' here: there are lo\b.*\n$/);
  for (const args of [
    ["-m", "0"],
    ["-m", "x"],
    ["-i", "a b"],
    ["-s", ","],
  ])
    assert.equal(cli(dir.path, ["discover", ...args]).status, 2, args.join(" "));
});
