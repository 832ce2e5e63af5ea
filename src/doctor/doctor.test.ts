import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { nodeId, TeselaError } from "../base/mod.ts";
import { createCluster, issueNode, saveIdentity } from "../cluster/mod.ts";
import { Files, type Finding } from "./finding.ts";
import { groupFindings } from "./groups.ts";
import { kernelFindings } from "./kernel.ts";
import { certificateFindings, configFinding, daemonFindings, membershipFinding, portFinding, runs, standingIn } from "./node.ts";
import { fanotify, localClusters, openings, tcpTaken, udpTaken } from "./probes.ts";

/** A machine made of files. */
class Machine implements Disposable {
  readonly root = mkdtempSync(join(tmpdir(), "tesela-"));
  readonly files = new Files(this.root);
  put(files: Readonly<Record<string, string>>): this {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(this.root + path), { recursive: true });
      writeFileSync(this.root + path, text);
    }
    return this;
  }
  remove(path: string): this {
    rmSync(this.root + path, { recursive: true });
    return this;
  }
  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true });
  }
}

const SPACES = ["pid", "mnt", "net", "ipc", "uts", "user", "time"].map((n) => [`/proc/self/ns/${n}`, ""]);
const HEALTHY = {
  "/proc/sys/kernel/osrelease": "6.8.0-41-generic\n",
  "/proc/sys/kernel/yama/ptrace_scope": "1\n",
  "/proc/sys/kernel/seccomp/actions_avail": "kill_process kill_thread trap errno user_notif trace log allow\n",
  "/proc/sys/user/max_user_namespaces": "127000\n",
  "/proc/self/timens_offsets": "monotonic 0 0\n",
  "/proc/self/limits":
    "Limit                     Soft Limit           Hard Limit           Units\nMax open files            1024                 524288               files\n",
  ...(Object.fromEntries(SPACES) as Record<string, string>),
};

/** What is not well, as `check: state`. */
const ills = (findings: readonly Finding[]): string[] => findings.filter((f) => f.state !== "ok").map((f) => `${f.check}: ${f.state}`);

test("a healthy kernel lacks nothing, and whatever is taken away is told", () => {
  using healthy = new Machine().put(HEALTHY);
  assert.deepEqual(ills(kernelFindings(healthy.files, true)), []);
  assert.deepEqual(ills(kernelFindings(healthy.files, false)), ["root: degraded", "ptrace: degraded"]);
  const cases: [change: (m: Machine) => void, ills: string[]][] = [
    [(m) => m.put({ "/proc/sys/kernel/osrelease": "5.12.19" }), ["kernel: missing"]],
    [(m) => m.put({ "/proc/sys/kernel/osrelease": "5.13.0" }), []],
    [(m) => m.put({ "/proc/sys/kernel/osrelease": "4.19.0" }), ["kernel: missing"]],
    [(m) => m.put({ "/proc/sys/kernel/osrelease": "odd" }), ["kernel: missing"]],
    [(m) => m.put({ "/proc/sys/kernel/yama/ptrace_scope": "2" }), []],
    [(m) => m.put({ "/proc/sys/kernel/yama/ptrace_scope": "3" }), ["ptrace: missing"]],
    [(m) => m.remove("/proc/sys/kernel/yama"), []],
    [(m) => m.remove("/proc/sys/kernel/seccomp"), ["seccomp: missing"]],
    [(m) => m.put({ "/proc/sys/kernel/seccomp/actions_avail": "kill_thread trap errno allow" }), ["seccomp: missing"]],
    [(m) => m.remove("/proc/self/ns/pid"), ["namespaces: missing"]],
    [(m) => m.put({ "/proc/sys/user/max_user_namespaces": "0" }), ["user namespaces: degraded"]],
    [(m) => m.put({ "/proc/sys/kernel/unprivileged_userns_clone": "0" }), []],
    [(m) => m.remove("/proc/self/ns/time"), ["time namespaces: degraded"]],
    [(m) => m.put({ "/proc/self/limits": "Max open files 256 1024 files" }), ["open files: degraded"]],
    [(m) => m.put({ "/proc/self/limits": "Max open files 256 unlimited files" }), []],
  ];
  for (const [change, want] of cases) {
    using machine = new Machine().put(HEALTHY);
    change(machine);
    const findings = kernelFindings(machine.files, true);
    assert.deepEqual(ills(findings), want, String(change));
    assert.ok(findings.every((f) => (f.state === "ok") === (f.todo === undefined)));
  }
  using bare = new Machine();
  const states = kernelFindings(bare.files, true).filter((f) => f.state === "missing");
  assert.deepEqual(
    states.map((f) => f.check),
    ["kernel", "seccomp", "namespaces"],
  );
});

test("PAGEMAP_SCAN is there or not, and nothing is lost without", () => {
  for (const [release, want] of [
    ["6.6.1", /not before Linux 6\.7/],
    ["6.7.0", /^there$/],
    ["10.0.0", /^there$/],
  ] as const) {
    using machine = new Machine().put({ ...HEALTHY, "/proc/sys/kernel/osrelease": release });
    const finding = kernelFindings(machine.files, true).find((f) => f.check === "PAGEMAP_SCAN");
    assert.equal(finding?.state, "ok");
    assert.match(finding?.found ?? "", want);
  }
});

test("control groups of both versions: what is delegated counts", () => {
  const v1 = (name: string) => `40 20 0:30 / /sys/fs/cgroup/${name} rw - cgroup cgroup rw,${name}`;
  using old = new Machine().put({
    "/proc/self/mountinfo": ["pids", "memory", "cpu"].map(v1).join("\n"),
    "/proc/self/cgroup": "3:pids:/\n2:memory:/\n1:cpu:/\n",
    ...{ "/sys/fs/cgroup/pids/x": "", "/sys/fs/cgroup/memory/x": "", "/sys/fs/cgroup/cpu/x": "" },
  });
  assert.deepEqual(ills(groupFindings(old.files)), []);
  old.remove("/sys/fs/cgroup/cpu");
  assert.match(groupFindings(old.files)[0]?.found ?? "", /^pids .*without cpu guests/);

  const own = "/sys/fs/cgroup/system.slice/tesela-engine.service";
  using unified = new Machine().put({
    "/proc/self/mountinfo": "30 20 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw",
    "/proc/self/cgroup": "0::/system.slice/tesela-engine.service/engine\n",
    [`${own}/cgroup.controllers`]: "cpu memory pids\n",
  });
  assert.deepEqual(ills(groupFindings(unified.files)), []);
  unified.put({ [`${own}/cgroup.controllers`]: "pids\n" });
  const [finding] = groupFindings(unified.files);
  assert.equal(finding?.state, "degraded");
  assert.match(`${finding?.found} ${finding?.todo}`, /pids \(version 2\); without memory, cpu .*Delegate=/);
  using none = new Machine().put({ "/proc/self/mountinfo": "", "/proc/self/cgroup": "" });
  assert.deepEqual(ills(groupFindings(none.files)), ["control groups: degraded"]);
  using empty = new Machine();
  assert.deepEqual(ills(groupFindings(empty.files)), ["control groups: missing"]);
});

test("certificates: their dates", async () => {
  using machine = new Machine();
  const dir = `${machine.root}/identity`;
  const now = Date.now();
  const DAY = 86_400_000;
  saveIdentity(dir, await issueNode(await createCluster("doctor"), nodeId(1), "h1"));
  const at = (days: number): string[] => ills(certificateFindings(machine.files, "/identity", now + days * DAY));
  assert.deepEqual(at(0), []);
  assert.deepEqual(at(360), ["node certificate: degraded"]);
  assert.deepEqual(at(370), ["node certificate: missing"]);
  assert.deepEqual(at(-400), ["CA certificate: missing", "node certificate: missing"]);
  machine.put({ "/identity/node.pem": "rubbish" });
  assert.deepEqual(at(0), ["node certificate: missing"]);
  machine.remove("/identity");
  assert.deepEqual(at(0), ["CA certificate: missing", "node certificate: missing"]);
  const [asRoot, asUser] = [true, false].map((isRoot) => certificateFindings(machine.files, "/identity", now, isRoot)[0]);
  assert.deepEqual([asRoot?.state, asUser?.state], ["missing", "unknown"]);
  assert.deepEqual([/as root/.test(asRoot?.todo ?? ""), /as root/.test(asUser?.todo ?? "")], [false, true]);
});

test("configuration, membership, daemons: what is wrong is said in the words of who refuses it", () => {
  const throws = (): never => {
    throw new TeselaError("E_CONFIG", "/f: unknown key x");
  };
  assert.match(configFinding(throws).found, /unknown key x/);
  assert.deepEqual(ills([configFinding(throws), membershipFinding(throws)]), ["configuration: missing", "membership: missing"]);
  assert.deepEqual(ills([configFinding(() => "defaults"), membershipFinding(() => ({ id: 1, name: "a", cluster: "c" }))]), []);
  using files = new Machine().put({
    "/m.json": JSON.stringify({ cluster: "c", entries: [{ id: 1, standing: "removed" }, { id: 2 }] }),
    "/half": "{",
  });
  const standings = [1, 2, 3].map((id) => standingIn(files.files, "/m.json", id));
  assert.deepEqual(
    [...standings, standingIn(files.files, "/half", 1), standingIn(files.files, "/none", 1)],
    ["removed", "member", "member", "member", "member"],
  );
  const node = () => ({ id: 1, name: "a", cluster: "c" });
  assert.match(membershipFinding(node, () => "removed").found, /it was removed from/);
  assert.equal(membershipFinding(node, () => "left").state, "missing");
  assert.match(membershipFinding(node, () => "member", "node 2 does not accept it").found, /but: node 2 does not accept/);
  assert.deepEqual(ills(daemonFindings({ teselad: true, engine: false })), ["tesela-engine: missing"]);
  using machine = new Machine().put({ "/run/engine.pid": "7\n", "/proc/7/cmdline": "node\0/opt/tesela/src/engine/main.ts\0" });
  assert.equal(runs(machine.files, "/run/engine.pid", "src/engine/main.ts"), true);
  machine.put({ "/proc/7/cmdline": "sleep\0" + "7\0" });
  assert.equal(runs(machine.files, "/run/engine.pid", "src/engine/main.ts"), false);
  assert.equal(runs(machine.files, "/run/absent.pid", "src/engine/main.ts"), false);
});

test("ports: free, Tesela's own, or another's", async () => {
  await using open = new AsyncDisposableStack();
  const tcp = createServer().listen(0);
  open.defer(() => void tcp.close());
  await once(tcp, "listening");
  const udp = createSocket("udp4").bind(0);
  open.defer(() => void udp.close());
  await once(udp, "listening");
  const [tcpPort, udpPort] = [(tcp.address() as { port: number }).port, udp.address().port];
  for (const why of [await tcpTaken(tcpPort), await udpTaken(udpPort)]) {
    assert.match(why ?? "", /EADDRINUSE/);
    assert.equal(portFinding("port", true, why).state, "ok");
    assert.equal(portFinding("port", false, why).state, "missing");
  }
  assert.equal(await tcpTaken(0), null);
  assert.equal(await udpTaken(0), null);
  assert.equal(portFinding("port", false, null).state, "ok");
  assert.equal(portFinding("port", true, null).state, "degraded");
});

test("what is tried and fails is less, not nothing", () => {
  const fails = (): never => {
    throw new Error("fanotify_init: EPERM");
  };
  assert.deepEqual(
    ills([
      fanotify(fails),
      fanotify(() => undefined),
      openings(fails),
      openings(() => undefined),
      localClusters(["no veth"]),
      localClusters([]),
    ]),
    ["fanotify: degraded", "shared memory: degraded", "local clusters: degraded"],
  );
});
