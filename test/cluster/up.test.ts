/** `tesela up` over a real sshd, which one host runs for the other. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { NodeRow } from "../../src/daemon/mod.ts";
import { cannot, startCluster, type TestCluster } from "./harness.ts";

const SSHD = "/usr/sbin/sshd";
const reason = await cannot();
const root = process.getuid?.() === 0;
const lacking = !existsSync(SSHD) ? "openssh-server is not installed" : root ? false : "sshd lets only root in as root";
const skip = reason || lacking;
const PORT = "2222";
const SSH = `ssh -p ${PORT} -i /root/up-key -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o BatchMode=yes`;
const UP_MS = 60_000;
let cluster: TestCluster | null = null;
after(async () => cluster?.[Symbol.asyncDispose]());

/** Host 2 is a machine that nothing of Tesela runs on, with an sshd. */
async function prepare(c: TestCluster): Promise<void> {
  await c.sh(
    2,
    `for s in teselad tesela-engine; do touch /run/services/$s.down; read -r pid </run/services/$s.pid && kill $pid; done
     while [ -e /run/services/teselad.pid ] || [ -e /run/services/tesela-engine.pid ]; do sleep 0.05; done
     rm -rf /var/lib/tesela/*; mkdir -p /run/sshd /root; chmod 700 /root`,
  );
  const key = await c.sh(1, "mkdir -p /root && ssh-keygen -q -t ed25519 -N '' -f /root/up-key && cat /root/up-key.pub");
  await c.sh(2, `ssh-keygen -q -t ed25519 -N '' -f /run/host-key; cat >/run/authorized`, { input: `${key}\n` });
  await c.spawn(
    2,
    [
      SSHD,
      "-D",
      "-e",
      "-p",
      PORT,
      "-h",
      "/run/host-key",
      "-o",
      "AuthorizedKeysFile=/run/authorized",
      "-o",
      "PermitRootLogin=yes",
      "-o",
      "StrictModes=no",
      "-o",
      "UsePAM=no",
    ],
    {
      stdio: ["ignore", "ignore", "ignore"],
    },
  );
  for (const start = performance.now(); ; await sleep(100)) {
    const { status, stderr } = await c.exec(1, ["sh", "-c", `${SSH} 10.88.0.2 true`]);
    if (status === 0) return;
    assert.ok(performance.now() - start < UP_MS, stderr);
  }
}

test("a machine that has only sshd becomes a node by one command", { skip }, async () => {
  cluster = await startCluster({ n: 2 });
  const c = cluster;
  await prepare(c);
  await c.tesela(1, "node", "remove", "2", "--force");
  const answer = await c.tesela<{ nodes: { id: number; name: string }[]; failed: unknown[] }>(
    1,
    "up",
    "--ssh",
    SSH,
    "--dir",
    "/opt/tesela-up",
    "10.88.0.2",
  );
  assert.deepEqual(answer, { nodes: [{ host: "10.88.0.2", id: 3, name: "n3", address: "10.88.0.2" }], failed: [] });
  const end = performance.now() + UP_MS;
  for (;;) {
    const rows = await c.tesela<NodeRow[]>(1, "nodes");
    if (rows.map((r) => `${r.id}:${r.state}`).join(" ") === "1:up 3:up") break;
    assert.ok(performance.now() < end, JSON.stringify(rows));
    await sleep(100);
  }
  assert.match(
    await c.sh(2, "readlink -f /usr/local/bin/tesela; tr '\\0' ' ' </proc/$(cat /run/tesela/teselad.pid)/cmdline"),
    /\/opt\/tesela-up\//,
  );
  // Again: it is a node already; and nobody answers there.
  const again = await c.exec(1, ["tesela", "up", "--ssh", SSH, "--dir", "/opt/tesela-up", "10.88.0.2", "10.88.0.99"]);
  assert.equal(again.status, 1);
  assert.match(again.stderr, /10\.88\.0\.2: version .* is there/);
  assert.match(again.stderr, /10\.88\.0\.2: .*is a node already/);
  assert.match(again.stderr, /10\.88\.0\.99: .*(No route|timed out|refused)/i);
});
