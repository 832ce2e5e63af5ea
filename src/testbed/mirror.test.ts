import assert from "node:assert/strict";
import { test } from "node:test";
import { type MirrorWorld, mirrorList, parseMounts, planMirror, realFiles } from "./mirror.ts";

const MOUNTINFO = [
  "27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw",
  "22 27 0:21 / /proc rw - proc proc rw",
  "23 27 0:22 / /sys rw - sysfs sysfs rw",
  "24 27 0:6 / /dev rw - devtmpfs devtmpfs rw",
  "26 24 0:24 / /dev/pts rw - devpts devpts rw",
  "30 27 0:30 / /run rw - tmpfs tmpfs rw",
  "31 30 0:31 / /run/user/1000 rw - tmpfs tmpfs rw",
  "40 27 254:1 / /home rw - ext4 /dev/vdb rw",
  "41 40 0:41 / /home/ann/my\\040disk rw - tmpfs tmpfs rw",
  "42 27 7:1 / /snap/core/1 ro - squashfs /dev/loop1 ro",
  "43 27 254:0 /hosts /etc/hosts rw - ext4 /dev/vda rw",
  "44 27 254:0 /resolv.conf /etc/resolv.conf rw - ext4 /dev/vda rw",
  "45 27 0:45 / /odd,name rw - tmpfs tmpfs rw",
  "46 27 0:46 / /clusters/a rw - tmpfs tmpfs rw",
  "47 27 0:47 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw",
].join("\n");

const TREE: Record<string, string[]> = {
  "/": ["bin", "dev", "etc", "home", "odd,name", "proc", "run", "snap", "swapfile", "tmp", "usr"],
  "/etc": ["hosts", "passwd", "resolv.conf", "ssh"],
  "/home": ["ann", "bob"],
  "/home/ann": ["my disk", "work"],
  "/snap": ["bin", "core"],
  "/snap/core": ["1"],
};
const FILES = new Set(["/etc/hosts", "/etc/passwd", "/etc/resolv.conf", "/swapfile"]);
const world = (root: boolean): MirrorWorld => ({
  mountinfo: MOUNTINFO,
  root,
  skip: ["/clusters"],
  look: (path) => ({
    type: path === "/bin" ? "link" : FILES.has(path) ? "file" : "dir",
    size: path === "/swapfile" ? 1 << 30 : 100,
    mode: path === "/tmp" ? 0o1777 : 0o755,
    uid: 0,
    gid: 0,
  }),
  namesIn: (path) => TREE[path] ?? [],
});
const plan = (root: boolean): string[] => planMirror(world(root)).map((s) => `${s.kind} ${s.path}`);

test("mountinfo is read with its escapes", () => {
  assert.deepEqual(parseMounts(MOUNTINFO)[8], { root: "/", path: "/home/ann/my disk", type: "tmpfs" });
  assert.deepEqual(parseMounts("garbage\n\n"), []);
});

test("root gets an overlay of / and one of each file system below it", () => {
  assert.deepEqual(plan(true), ["overlay /", "bind /etc/resolv.conf", "overlay /home", "overlay /home/ann/my disk", "bind /snap/core/1"]);
});

test("in a user namespace the tree is taken apart where there are mounts below", () => {
  assert.deepEqual(plan(false), [
    "link /bin",
    "dir /etc",
    "copy /etc/hosts",
    "copy /etc/passwd",
    "copy /etc/resolv.conf",
    "overlay /etc/ssh",
    "dir /home",
    "dir /home/ann",
    "overlay /home/ann/my disk",
    "overlay /home/ann/work",
    "overlay /home/bob",
    "dir /snap",
    "overlay /snap/bin",
    "dir /snap/core",
    "bind /snap/core/1",
    "bind /swapfile",
    "overlay /tmp",
    "overlay /usr",
  ]);
});

test("the list has one line a step, with mode and owner", () => {
  const { look } = world(true);
  assert.equal(mirrorList([{ kind: "overlay", path: "/tmp" }], look), "overlay 1777 0:0 /tmp\n");
});

test("this machine has a plan", () => {
  const steps = planMirror({ ...world(false), ...realFiles });
  assert.ok(steps.some((s) => s.kind === "overlay" && s.path === "/usr"));
});
