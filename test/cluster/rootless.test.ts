/** Local clusters as an ordinary user: the real thing, as a user of no name that this test becomes when root runs it. */
import assert from "node:assert/strict";
import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import { chmodSync, chownSync, cpSync, mkdirSync, mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import type { ClusterRow } from "../../src/testbed/mod.ts";
import { leaks } from "./leaks.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "");
const UID = 12345;
const isRoot = process.geteuid?.() === 0;
const AS_USER = isRoot ? ["setpriv", "--reuid", String(UID), "--regid", String(UID), "--clear-groups"] : [];

/** A home of the user, and the package where the user may read it. */
class User implements Disposable {
  readonly home: string;
  readonly clusters: string;
  readonly tesela: string;

  constructor() {
    this.home = mkdtempSync(join(realpathSync(tmpdir()), "tesela-user-"));
    this.clusters = join(this.home, "clusters");
    mkdirSync(this.clusters);
    chmodSync(this.home, 0o755);
    if (isRoot) for (const dir of [this.home, this.clusters]) chownSync(dir, UID, UID);
    const own = join(ROOT, "bin/tesela");
    const readable = this.run([own, "version"]).status === 0 && this.run([own, "cluster", "ls"]).status === 0;
    this.tesela = readable ? own : join(this.home, "package/bin/tesela");
    if (!readable) {
      // A checkout in a directory that is root's alone.
      for (const part of ["bin", "src", "package.json", "node_modules"]) {
        cpSync(join(ROOT, part), join(this.home, "package", part), { recursive: true, verbatimSymlinks: true });
      }
    }
  }

  run(argv: readonly string[], more: { path?: string; cwd?: string; wrap?: readonly string[] } = {}): SpawnSyncReturns<string> {
    const [file = "", ...args] = [...(more.wrap ?? []), ...AS_USER, ...argv];
    const env = { PATH: more.path ?? process.env["PATH"], HOME: this.home, TESELA_CLUSTERS: this.clusters, LANG: "C.UTF-8" };
    return spawnSync(file, args, { encoding: "utf8", env, cwd: more.cwd ?? "/", timeout: 120_000 });
  }

  cluster(...args: string[]): SpawnSyncReturns<string> {
    return this.run([this.tesela, "cluster", ...args]);
  }

  [Symbol.dispose](): void {
    rmSync(this.home, { recursive: true, force: true });
  }
}

test("an ordinary user has clusters too", async (t) => {
  using user = new User();
  const up = user.cluster("up", "-n", "2", "--name", "mine", "--json");
  if (up.status === 1 && JSON.parse(up.stdout).error === "E_MISSING") {
    t.skip(JSON.parse(up.stdout).message);
    return;
  }
  try {
    assert.equal(up.status, 0, up.stderr);
    const row = JSON.parse(up.stdout) as ClusterRow;
    assert.equal(row.rootless, true);
    const sh = (node: number, script: string): string =>
      user.cluster("exec", "--name", "mine", String(node), "--", "sh", "-c", script).stdout;
    assert.equal(sh(1, "hostname; id -u"), "h1\n0\n");
    assert.equal(sh(2, "cat /etc/hostname; ls /sys/class/net"), "h2\neth0\nlo\n");
    assert.equal(sh(1, "cat /proc/1/comm"), "sh\n");
    assert.equal(sh(1, "echo x >/etc/own && echo y >/tmp/own && cat /etc/own /tmp/own"), "x\ny\n");
    assert.equal(sh(2, "cat /etc/own /tmp/own 2>/dev/null; echo none"), "none\n");
    assert.equal(sh(1, "rm -rf /usr/games && mkdir /usr/games && ls -A /usr/games; echo $?"), "0\n");
    assert.equal(user.cluster("exec", "--name", "mine", "1", "--", "sh", "-c", "kill -9 $$").status, 137);
    assert.equal(user.cluster("cut", "--name", "mine", "2").status, 0);
    assert.equal(sh(2, "cat /sys/class/net/eth0/carrier"), "0\n");
    assert.equal(user.cluster("heal", "--name", "mine", "2").status, 0);
    assert.equal(sh(2, "cat /sys/class/net/eth0/carrier"), "1\n");
    // Nobody tells an ordinary user of programs that begin: they are looked for, and what they take is learnt all the same.
    sh(1, "tesela run sh -c 'for i in 1 2 3 4 5 6; do dd if=/dev/zero of=/dev/null bs=64k count=100000 2>/dev/null; done; sleep 3'");
    const learnt = sh(1, "for i in $(seq 60); do grep -o '[a-z/]*/dd\"' /var/lib/tesela/habits.json 2>/dev/null && break; sleep 0.5; done");
    assert.match(learnt, /\/dd"/);
    assert.match(sh(1, "cat /var/log/tesela/teselad.log"), /programs that begin are looked for/);
    if (isRoot) assert.doesNotMatch(spawnSync(user.tesela, ["cluster", "ls"], { encoding: "utf8" }).stdout, /mine/);
  } finally {
    assert.equal(user.cluster("down", "--name", "mine").status, 0);
  }
  assert.deepEqual(await leaks(join(user.clusters, "mine")), []);
});

test("what is missing is said plainly", (t) => {
  using user = new User();
  const bare = user.run([user.tesela, "cluster", "up", "-n", "1"], { path: "/nowhere", wrap: [] });
  if (isRoot) {
    // setpriv itself has to be found.
    const env = ["env", "PATH=/nowhere"].join(" ");
    const done = user.run(["/bin/sh", "-c", `exec /usr/bin/${env} "$0" cluster up -n 1`, user.tesela]);
    assert.equal(done.status, 1);
    assert.match(done.stderr, /the program ip is not on the PATH \(Debian package iproute2\)/);
  } else assert.match(bare.stderr, /the program ip is not on the PATH \(Debian package iproute2\)/);

  if (!isRoot) {
    t.diagnostic("refused user namespaces are tried by root only");
    return;
  }
  // The kernel gives nobody a user namespace who lives in a changed root directory.
  const jail = join(user.home, "jail");
  mkdirSync(jail);
  const wrap = ["unshare", "--mount", "sh", "-c", 'mount --rbind / "$0" && exec chroot "$0" "$@"', jail];
  const done = user.run([user.tesela, "cluster", "up", "-n", "1"], { wrap });
  assert.equal(done.status, 1);
  assert.match(
    done.stderr,
    /do not work as an ordinary user on this machine: new namespaces are refused .*user namespaces may be switched off/,
  );
  assert.match(user.run([user.tesela, "cluster", "ls", "--json"]).stdout, /^\[\]/);
});
