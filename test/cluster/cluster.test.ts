import assert from "node:assert/strict";
import { type SpawnSyncReturns, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { type ClusterRow, clusterDir, clusterDown, clusterNames, presentServices } from "../../src/testbed/mod.ts";
import { cannot, startCluster } from "./harness.ts";
import { leaks } from "./leaks.ts";
import { Terminal } from "./terminal.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "");
const TESELA = join(ROOT, "bin/tesela");
const skip = await cannot();
/** Most of this needs hosts and no nodes. */
const NONE: readonly string[] = [];
const name = (tail: string): string => `test-${process.pid}-${tail}`;

const tesela = (...args: string[]): SpawnSyncReturns<string> =>
  spawnSync(TESELA, ["cluster", ...args], { encoding: "utf8", timeout: 120_000 });
const exec = (cluster: string, node: string, ...argv: string[]): SpawnSyncReturns<string> =>
  tesela("exec", "--name", cluster, node, "--", ...argv);

after(async () => {
  for (const left of clusterNames().filter((n) => n.startsWith(`test-${process.pid}-`))) await clusterDown(left);
});

test("the commands: up, ls, exec, cut, heal, down, and nothing is left", { skip }, async () => {
  const it = name("cli");
  const dir = clusterDir(it);
  const up = tesela("up", "-n", "2", "--name", it, "--json");
  assert.equal(up.status, 0, up.stderr);
  const row = JSON.parse(up.stdout) as ClusterRow;
  assert.deepEqual(
    row.hosts.map((h) => [h.id, h.name, h.address, h.state, h.link]),
    [
      [1, "h1", "10.88.0.1", "up", "up"],
      [2, "h2", "10.88.0.2", "up", "up"],
    ],
  );
  assert.equal(row.state, "up");
  const listed = (): ClusterRow | undefined => (JSON.parse(tesela("ls", "--json").stdout) as ClusterRow[]).find((r) => r.name === it);
  assert.deepEqual(listed(), row);

  const again = tesela("up", "-n", "2", "--name", it, "--json");
  assert.equal(again.status, 1);
  assert.equal(JSON.parse(again.stdout).error, "E_EXISTS");

  assert.equal(exec(it, "1", "hostname").stdout, "h1\n");
  assert.equal(exec(it, "h2", "hostname").stdout, "h2\n");
  assert.equal(exec(it, "1", "sh", "-c", "exit 42").status, 42);
  assert.equal(exec(it, "1", "sh", "-c", "kill -KILL $$").status, 137);
  assert.equal(exec(it, "1", "no-such-program").status, 127);
  const unknown = exec(it, "3", "true");
  assert.equal(unknown.status, 1);
  assert.match(unknown.stderr, /no host '3'/);
  assert.equal(tesela("exec", "--name", it, "1").status, 2);
  assert.equal(tesela("exec", "--name", name("none"), "1", "--", "true").status, 1);

  assert.equal(tesela("cut", "--name", it, "2").status, 0);
  assert.equal(listed()?.hosts[1]?.link, "cut");
  assert.equal(tesela("heal", "--name", it, "2").status, 0);
  assert.equal(listed()?.hosts[1]?.link, "up");

  assert.equal(tesela("down", "--name", it).status, 0);
  assert.equal(listed(), undefined);
  assert.equal(tesela("down", "--name", it).status, 1);
  assert.deepEqual(await leaks(dir), []);
});

test("bad numbers and names are usage errors", { skip }, () => {
  for (const args of [
    ["-n", "0"],
    ["-n", "x"],
    [],
    ["-n", "2", "--memory", "0"],
    ["-n", "1", "--memory", "63"],
    ["-n", "2", "--name", "../x"],
    ["-n", "251"],
  ]) {
    const done = tesela("up", ...args);
    assert.equal(done.status, 2, args.join(" "));
    assert.match(done.stderr, /^tesela: [^\n]+\n$/);
  }
});

test("exec gives input, output, directory and environment", { skip }, async () => {
  await using cluster = await startCluster({ services: NONE, n: 1 });
  const run = (script: string, options: object = {}): SpawnSyncReturns<string> =>
    spawnSync(TESELA, ["cluster", "exec", "--name", cluster.name, "1", "--", "sh", "-c", script], { encoding: "utf8", ...options });
  assert.equal(run("cat; echo err >&2", { input: "in" }).stdout, "in");
  assert.equal(run("cat; echo err >&2", { input: "in" }).stderr, "err\n");
  assert.equal(run("pwd", { cwd: "/usr/bin" }).stdout, "/usr/bin\n");
  assert.equal(run("echo $LC_TIME-$SECRET", { env: { ...process.env, LC_TIME: "C", SECRET: "x" } }).stdout, "C-\n");
  assert.equal(run("command -v tesela; command -v mosrun").stdout, `${TESELA}\n${join(ROOT, "bin/mosrun")}\n`);
  const gone = mkdtempSync("/run/tesela-gone-");
  try {
    const lost = run("true", { cwd: gone });
    assert.equal(lost.status, 1);
    assert.match(lost.stderr, /does not exist on h1/);
  } finally {
    rmSync(gone, { recursive: true });
  }
  const ignored = spawnSync(
    "sh",
    ["-c", `trap '' HUP; ulimit -Sn 99; exec "$@"`, "sh", TESELA, "cluster", "exec", "--name", cluster.name, "1"].concat([
      "--",
      "sh",
      "-c",
      "ulimit -Sn; kill -HUP $$; echo lives",
    ]),
    { encoding: "utf8" },
  );
  assert.equal(ignored.stdout, "99\nlives\n");
});

test("hosts are apart: files, processes, names, shared memory, the machine's own", { skip }, async () => {
  await using cluster = await startCluster({ services: NONE, n: 2 });
  const file = `/tmp/tesela-apart-${process.pid}`;
  await cluster.sh(1, `echo one >${file}; echo x >/dev/shm/${process.pid}; echo y >/run/${process.pid}; echo z >"${ROOT}/package.json"`);
  assert.equal(await cluster.sh(2, `cat ${file} /dev/shm/${process.pid} /run/${process.pid} 2>/dev/null || echo none`), "none");
  assert.equal(existsSync(file), false);
  assert.match(readFileSync(join(ROOT, "package.json"), "utf8"), /tesela/);
  assert.match(await cluster.sh(2, `cat "${ROOT}/package.json"`), /tesela/);
  const names = await cluster.sh(1, "for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline; echo; done");
  assert.doesNotMatch(names, /keeper\.sh|h2/);
  assert.equal(await cluster.sh(1, "readlink /proc/self/ns/pid"), await cluster.sh(1, "readlink /proc/1/ns/pid"));
  assert.equal(await cluster.sh(1, "cat /proc/sys/kernel/hostname /etc/hostname"), "h1\nh1");
  assert.equal(await cluster.sh(1, "ls /sys/class/net"), "eth0\nlo");
  for (const kind of ["mnt", "net", "pid", "uts", "ipc"]) {
    const seen = await Promise.all([cluster.sh(1, `readlink /proc/self/ns/${kind}`), cluster.sh(2, `readlink /proc/self/ns/${kind}`)]);
    assert.equal(new Set([...seen, spawnSync("readlink", [`/proc/self/ns/${kind}`], { encoding: "utf8" }).stdout.trim()]).size, 3, kind);
  }
});

const LISTEN =
  "import socket; s = socket.create_server(('', 7777)); print('ready', flush=True)\nwhile True: s.accept()[0].sendall(b'hello')";
const CONNECT = "import socket, sys; print(socket.create_connection((sys.argv[1], 7777), int(sys.argv[2])).recv(9).decode())";
/** Who answers does so at once; on a busy machine, or where a packet was lost (SYN again after 1, 3, 7 s), later. */
const ANSWERS_S = "30";

test("a cut link carries nothing, a healed one does", { skip }, async () => {
  await using cluster = await startCluster({ services: NONE, n: 3 });
  for (const node of [1, 2]) {
    const server = await cluster.spawn(node, ["python3", "-c", LISTEN]);
    await once(server.child.stdout as NodeJS.ReadableStream, "data");
  }
  const reaches = async (from: number, to: string, seconds = ANSWERS_S): Promise<boolean> =>
    (await cluster.exec(from, ["python3", "-c", CONNECT, to, seconds])).stdout === "hello\n";
  assert.equal(await reaches(1, "h2"), true);
  await cluster.cut(2);
  assert.equal(await reaches(1, "h2", "1"), false);
  assert.equal(await reaches(3, "h2", "1"), false);
  assert.equal(await reaches(3, "h1"), true);
  assert.equal(await reaches(2, "localhost"), true);
  await cluster.cut("h2");
  await cluster.heal(2);
  // Who was asked for in vain is asked for again after a second (ARP), so the first try may come too early.
  assert.equal((await reaches(1, "h2")) || (await reaches(1, "h2")), true);
});

test("spawn tells the PID on the host, and signals arrive there", { skip }, async () => {
  await using cluster = await startCluster({ services: NONE, n: 1 });
  const sleeper = await cluster.spawn(1, ["sleep", "1000"]);
  assert.equal(await cluster.sh(1, `cat /proc/${sleeper.pid}/comm`), "sleep");
  await cluster.sh(1, `kill -STOP ${sleeper.pid}; sleep 0.1; kill -CONT ${sleeper.pid}; kill -USR1 ${sleeper.pid}`);
  assert.deepEqual(await sleeper.ended, { status: 138, signal: "SIGUSR1" });
  const other = await cluster.spawn(1, ["sleep", "1000"]);
  other.child.kill("SIGTERM");
  assert.deepEqual(await other.ended, { status: 143, signal: "SIGTERM" });
  await assert.rejects(cluster.exec(1, ["sleep", "1000"], { timeoutMs: 100 }), /did not end/);
  assert.equal((await cluster.exec(1, ["pgrep", "-x", "sleep", "-a"])).stdout.includes("1000"), false);
});

/** Says when it can be interrupted or stopped: from then on that works at any moment. */
/** Says when it is continued: only then does the terminal's ^C reach it. */
const WAITING = `sh -c 'trap "echo go$((1+1))ng" CONT; echo read''y; while :; do read -r x; done'`;

test("a terminal on a host: size, ^C, ^Z, fg, ^D", { skip }, async () => {
  await using cluster = await startCluster({ services: NONE, n: 1 });
  await using terminal = await cluster.tty(1, ["bash", "--norc", "-i"], { rows: 30, columns: 100, env: { PS1: "$ " } });
  await terminal.expect("$ ");
  terminal.line("stty size; echo pid=$$");
  await terminal.expect("30 100");
  assert.equal(Number((await terminal.expect(/pid=(\d+)\r/))[1]), terminal.pid);
  terminal.resize(40, 120);
  terminal.line("stty size");
  await terminal.expect("40 120");
  terminal.line(WAITING);
  await terminal.expect("ready");
  terminal.type("\x1a");
  await terminal.expect("Stopped");
  await terminal.expect("$ ");
  terminal.line("fg");
  await terminal.expect("go2ng");
  terminal.type("\x03");
  await terminal.expect("$ ");
  terminal.line("echo status=$?");
  await terminal.expect("status=130");
  terminal.line("sh -c 'echo read''y; exec cat'");
  await terminal.expect("ready");
  terminal.type("\x04");
  await terminal.expect("$ ");
  terminal.line("exit 5");
  assert.equal(await terminal.ended, 5);
});

/** A shell of this machine on a terminal, with `$X` for `tesela cluster exec`. */
async function outerShell(cluster: string): Promise<Terminal> {
  const [file, ...args] = Terminal.command(["bash", "--norc", "-i"]);
  const env = { ...process.env, PS1: "outer$ ", TERM: "xterm", HISTFILE: "", X: `${TESELA} cluster exec --name ${cluster} 1 --` };
  const shell = await Terminal.over(spawn(file, args, { stdio: ["pipe", "pipe", "inherit", "pipe"], env }));
  await shell.expect("outer$ ");
  return shell;
}

test("exec is a job of the caller's shell: ^C, ^Z, fg", { skip }, async () => {
  await using cluster = await startCluster({ services: NONE, n: 1 });
  await using shell = await outerShell(cluster.name);
  shell.line('tty; $X sh -c "tty; hostname; stty size"');
  const [, tty] = await shell.expect(/[\r\n](\/dev\/pts\/\d+)\r\n/);
  await shell.expect(`${tty}\r\nh1\r\n24 80`);

  shell.line(`$X ${WAITING}; echo status=$?`);
  await shell.expect("ready");
  shell.type("\x1a");
  await shell.expect("Stopped");
  await shell.expect("outer$ ");
  shell.line("fg");
  await shell.expect("go2ng");
  shell.type("\x03");
  await shell.expect("outer$ ");
  shell.line("echo status=$?");
  await shell.expect("status=130");

  // A program that catches ^C goes on, and so does the one that waits for it.
  shell.line(`$X sh -c 'trap "echo caught; n=1" INT; echo read""y; until [ "$n" ]; do sleep 0.05; done; exit 3'; echo status=$?`);
  await shell.expect("ready");
  shell.type("\x03");
  await shell.expect(/caught\r\nstatus=3/);
  await shell.expect("outer$ ");
  shell.line("exit");
  await shell.ended;
});

test("a shell inside exec has job control and leaves the terminal behind in order", { skip }, async () => {
  await using cluster = await startCluster({ services: NONE, n: 1 });
  await using shell = await outerShell(cluster.name);
  shell.line("$X bash --norc -i; echo status=$?");
  await shell.expect(/bash-[\d.]+[#$] /);
  shell.line(WAITING);
  await shell.expect("ready");
  shell.type("\x1a");
  await shell.expect("Stopped");
  await shell.expect(/bash-[\d.]+[#$] /);
  shell.line("fg");
  await shell.expect("go2ng");
  shell.type("\x03");
  await shell.expect(/bash-[\d.]+[#$] /);
  shell.line("exit 6");
  await shell.expect("status=6");
  // That shell took the terminal for a process group of its own; the script that started it reads from the terminal afterwards.
  shell.line(`bash -c '$X bash --norc -ic "exit 7"; echo inside=$?; read -r x; echo got=$x'`);
  await shell.expect("inside=7");
  shell.line("text");
  await shell.expect("got=text");

  shell.line("$X seq 3 | $X tac");
  await shell.expect("3\r\n2\r\n1\r\n");
  shell.line(`$X sh -c 'trap "stty size" WINCH; echo read""y; while :; do sleep 0.05; done'`);
  await shell.expect("ready");
  shell.resize(50, 132);
  await shell.expect("50 132");
  shell.type("\x03");
  await shell.expect("outer$ ");
  shell.line("exit");
  await shell.ended;
});

test("pinned hosts have one core each, also for exec", { skip }, async () => {
  await using cluster = await startCluster({ services: NONE, n: 3, pin: true });
  const cpus = cluster.state.hosts.map((h) => h.cpu);
  const allowed = spawnSync("nproc", { encoding: "utf8" }).stdout.trim();
  assert.equal(new Set(cpus).size, Math.min(3, Number(allowed)));
  for (const host of cluster.state.hosts) {
    assert.equal(
      await cluster.sh(host.id, "sed -n 's/^Cpus_allowed_list:\\t//p' /proc/self/status /proc/1/status"),
      `${host.cpu}\n${host.cpu}`,
    );
  }
});

test("a memory limit holds for a host and what is run on it", {
  skip: skip || (process.geteuid?.() !== 0 ? "memory groups are root's" : false),
}, async () => {
  const groups: string[] = [];
  {
    await using cluster = await startCluster({ services: NONE, n: 1, memory: 128 * 1024 * 1024 });
    groups.push(...(cluster.state.hosts[0]?.cgroups ?? []));
    assert.equal(groups.length, 1);
    const eat = (mb: number): Promise<{ status: number }> => cluster.exec(1, ["python3", "-c", `x = b'1' * (${mb} << 20)`]);
    assert.equal((await eat(8)).status, 0);
    assert.equal((await eat(256)).status, 137);
  }
  for (const group of groups) assert.equal(existsSync(group), false);
});

test("services run, are started again, and can be held down", {
  skip: skip || (presentServices().length === 0 ? "no services in the package" : false),
}, async () => {
  await using cluster = await startCluster({ n: 1 });
  for (const { name: service } of presentServices()) {
    const first = await cluster.kill(1, service, "KILL");
    await cluster.sh(1, `until read -r p </run/services/${service}.pid && [ "$p" != ${first} ]; do sleep 0.05; done 2>/dev/null`);
    await cluster.kill(1, service, "KILL", { stay: true });
    await cluster.sh(1, `while [ -e /run/services/${service}.pid ]; do sleep 0.05; done; sleep 0.5; [ ! -e /run/services/${service}.pid ]`);
    await cluster.start(1, service);
    await cluster.sh(1, `until [ -s /run/services/${service}.pid ]; do sleep 0.05; done`);
    assert.match(cluster.log(1, "init"), new RegExp(`${service} ended with status 137`));
  }
});

test("two clusters at once know nothing of one another", { skip }, async () => {
  await using one = await startCluster({ services: NONE, n: 2 });
  await using two = await startCluster({ services: NONE, n: 2 });
  const server = await two.spawn(2, ["python3", "-c", LISTEN]);
  await once(server.child.stdout as NodeJS.ReadableStream, "data");
  assert.equal((await two.exec(1, ["python3", "-c", CONNECT, "h2", ANSWERS_S])).stdout, "hello\n");
  assert.notEqual((await one.exec(1, ["python3", "-c", CONNECT, "h2", "1"])).status, 0);
  await two[Symbol.asyncDispose]();
  assert.equal(await one.sh(2, "hostname"), "h2");
});

test("of two that bring up one name, one does", { skip }, async () => {
  const it = name("race");
  const children = [0, 1].map(() => spawn(TESELA, ["cluster", "up", "-n", "2", "--name", it], { stdio: "ignore" }));
  const statuses = await Promise.all(children.map(async (c) => Number((await once(c, "exit"))[0])));
  assert.deepEqual(statuses.sort(), [0, 1]);
  await clusterDown(it);
  assert.deepEqual(await leaks(clusterDir(it)), []);
});

test("after a crash of any part the next up of the name begins anew", { skip }, async () => {
  const it = name("crash");
  const dir = clusterDir(it);
  const row = (): ClusterRow => JSON.parse(tesela("ls", "--json").stdout).find((r: ClusterRow) => r.name === it);
  const state = (): { keeper: { pid: number } } => JSON.parse(readFileSync(join(dir, "state.json"), "utf8"));
  const up = (): void => assert.equal(tesela("up", "-n", "2", "--name", it).status, 0);

  up();
  process.kill(row().hosts[0]?.pid ?? 0, "SIGKILL");
  while (row().hosts[0]?.state === "up") await sleep(20);
  assert.equal(row().state, "broken");
  assert.equal(row().hosts[1]?.state, "up");
  assert.match(exec(it, "1", "true").stderr, /does not run any more/);
  assert.equal(exec(it, "2", "hostname").stdout, "h2\n");

  up();
  assert.equal(row().state, "up");
  process.kill(state().keeper.pid, "SIGKILL");
  while (row().hosts.some((h) => h.state === "up")) await sleep(20);

  up();
  // The one between the caller and the keeper.
  const parent = Number(/^PPid:\t(\d+)$/m.exec(readFileSync(`/proc/${state().keeper.pid}/status`, "utf8"))?.[1]);
  process.kill(parent, "SIGKILL");
  while (row().state === "up") await sleep(20);

  up();
  writeFileSync(join(dir, "state.json"), "half of it");
  assert.equal(row().state, "broken");
  up();
  assert.equal(tesela("down", "--name", it).status, 0);
  assert.deepEqual(await leaks(dir), []);
});

/** Its keeper may be taking it away at this moment. */
function isUp(dir: string): boolean {
  try {
    return readFileSync(join(dir, "state.json"), "utf8").includes('"up"');
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw e;
  }
}

test("an up that is killed on the way takes its half-made cluster with it", { skip }, async () => {
  const it = name("half");
  const dir = clusterDir(it);
  for (let ms = 40; ms < 600; ms += 70) {
    const child = spawn(TESELA, ["cluster", "up", "-n", "3", "--name", it], { stdio: "ignore" });
    await sleep(ms);
    child.kill(ms % 20 === 0 ? "SIGKILL" : "SIGTERM");
    await once(child, "exit");
    if (isUp(dir)) await clusterDown(it);
    assert.deepEqual(await leaks(dir, "running"), [], `killed after ${ms} ms`);
  }
  assert.equal(tesela("up", "-n", "3", "--name", it).status, 0);
  assert.equal(exec(it, "3", "hostname").stdout, "h3\n");
  await clusterDown(it);
  assert.deepEqual(await leaks(dir), []);
});

test("down ends stopped jobs, daemons and who came in by other doors", { skip }, async () => {
  const cluster = await startCluster({ services: NONE, n: 1 });
  await cluster.sh(1, "setsid sleep 1000 >/dev/null 2>&1 </dev/null &");
  const init = String(cluster.state.hosts[0]?.init?.pid);
  const door =
    process.geteuid?.() === 0 ? spawn("nsenter", ["-t", init, "-m", "-n", "env", "-i", "/bin/sleep", "1000"], { stdio: "ignore" }) : null;
  await using shell = await outerShell(cluster.name);
  shell.line(`$X ${WAITING}`);
  await shell.expect("ready");
  shell.type("\x1a");
  await shell.expect("Stopped");
  await cluster[Symbol.asyncDispose]();
  assert.deepEqual(await leaks(cluster.state.dir), []);
  if (door && door.exitCode === null && door.signalCode === null) await once(door, "exit");
});

test("a leased cluster ends with its process", { skip }, async () => {
  const script = `import { startCluster } from ${JSON.stringify(new URL("./harness.ts", import.meta.url).href)};
    const cluster = await startCluster({ services: [], n: 2 });
    console.log(cluster.name);
    setInterval(() => {}, 1000);`;
  for (const signal of ["SIGKILL", "SIGTERM"] as const) {
    const child = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: ["ignore", "pipe", "inherit"] });
    const it = String((await once(child.stdout, "data"))[0]).trim();
    child.kill(signal);
    await once(child, "exit");
    assert.deepEqual(await leaks(clusterDir(it), signal === "SIGKILL" ? "running" : "all"), []);
  }
  // Its directory goes when the next test process starts a cluster.
  await using _ = await startCluster({ services: NONE, n: 1 });
  assert.equal(
    readdirSync(join(clusterDir("x"), "..")).some((entry) => /^test-\d+-0$/.test(entry) && !existsSync(`/proc/${entry.split("-")[1]}`)),
    false,
  );
});
