/** `scope = "all"` on real hosts: whatever a user started may move by itself, as in openMosix, and nothing that the node stands on. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { ProcessRow } from "../../src/daemon/mod.ts";
import { cannot, startCluster, type TestCluster } from "./harness.ts";

const skip = await cannot();
const JOB = "scale=1200; x=0; for (i=0;i<20;i++) x+=4*a(1/(i+1)); x";
const JOBS = 4;
const PATIENCE_MS = 120_000;
/** A balancer that wanted to do something would have done it. */
const ROUNDS_MS = 5000;

const dir = mkdtempSync(join(tmpdir(), "tesela-scope-"));
let cluster: TestCluster;
before(async () => {
  if (skip) return;
  const file = join(dir, "tesela.toml");
  writeFileSync(file, '[balance]\nscope = "all"\n');
  cluster = await startCluster({ n: 2, pin: true, env: { TESELA_LEVEL: "on", TESELA_CONFIG: file } });
});
after(async () => {
  await cluster?.[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true });
});

const rows = (): Promise<ProcessRow[]> => cluster.tesela<ProcessRow[]>(1, "ps");

test("a plain job in the background moves by itself; terminals, services and what the node stands on stay", {
  skip,
  timeout: 400_000,
}, async () => {
  const job = () => cluster.exec(1, ["bc", "-lq"], { input: `${JOB}\n`, timeoutMs: 300_000 });
  const want = await job();
  assert.deepEqual([want.status, want.stderr], [0, ""]);
  // A shell at which somebody sits, and a service that waits for who asks.
  await using shell = await cluster.tty(1, ["sh"]);
  const at = shell.pid;
  const service = await cluster.spawn(1, ["python3", "-c", SERVICE]);
  const standing = (await cluster.sh(1, "cat /run/services/*.pid; echo 1")).split(/\s+/).map(Number);

  // From a shell that ends at once: nobody's children but init's, as with nohup.
  const files = Array.from({ length: JOBS }, (_, i) => `/tmp/scope-${i}`);
  const begin = (f: string): string => `echo "${JOB}" | bc -lq >${f}.out 2>&1; echo $? >${f}.status`;
  await cluster.sh(1, files.map((f) => `setsid sh -c '${begin(f)}' >/dev/null 2>&1 </dev/null &`).join("\n"));
  const seen = new Map<number, Set<number>>();
  for (const begun = performance.now(); ; await sleep(200)) {
    for (const { pid, home, node, command } of await rows()) {
      if (home !== 1) continue;
      if (command.startsWith("bc")) seen.set(pid, (seen.get(pid) ?? new Set()).add(node));
      else assert.equal(node, 1, `${command} (${pid}) has moved`);
      assert.ok(!standing.includes(pid), `${command} is what the node stands on`);
    }
    if ([...seen.values()].some((nodes) => nodes.has(2))) break;
    assert.ok(performance.now() - begun < PATIENCE_MS, `nobody moved: ${JSON.stringify(await rows())}`);
  }
  await sleep(ROUNDS_MS);
  const others = (await rows()).filter((r) => r.home === 1 && !r.command.startsWith("bc"));
  assert.ok(others.some((r) => r.pid === at) && others.some((r) => r.pid === service.pid), "they may move, and do not");
  assert.deepEqual([...new Set(others.map((r) => r.node))], [1]);
  // The service answers and the shell does as it is told, each where it was.
  assert.equal(await cluster.output(1, ["python3", "-c", ASK]), "HELLO");
  shell.line("echo still $((6*7))");
  await shell.expect(/still 42\r/);

  for (const file of files) {
    await cluster.sh(1, `while [ ! -s ${file}.status ]; do sleep 0.2; done`, { timeoutMs: 300_000 });
    assert.deepEqual([await cluster.sh(1, `cat ${file}.status`), `${await cluster.sh(1, `cat ${file}.out`)}\n`], ["0", want.stdout]);
  }
  process.kill(service.outerPid, "SIGKILL");
  await service.ended;
});

const SERVICE = `
import socket
s = socket.create_server(("127.0.0.1", 7007))
while True:
    c, _ = s.accept()
    c.sendall(c.recv(100).upper())
    c.close()
`;
const ASK = `
import socket
c = socket.create_connection(("127.0.0.1", 7007))
c.sendall(b"hello")
print(c.recv(100).decode(), end="")
`;
