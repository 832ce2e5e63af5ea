import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import type { Node, TestCluster } from "./harness.ts";
import { unlessGone } from "./talk.ts";

/** What the users of a host can see of the processes there. */

const LINKS = ["exe", "cwd", "root"];
const TEXTS = ["cmdline", "environ", "comm", "stat", "status", "maps", "mountinfo", "cgroup"];

/** Empty for what has gone or does not exist: a process without memory has no exe. */
const look = (read: () => string): string => unlessGone(read) ?? "";

interface Glimpse {
  readonly where: string;
  readonly text: string;
}

/** Everything that /proc tells root about each process of a host. */
function* glimpses(cluster: TestCluster, node: Node): Generator<Glimpse> {
  const host = cluster.state.hosts.find((h) => h.id === node || h.name === node);
  const root = `/proc/${host?.init?.pid}/root/proc`;
  for (const pid of readdirSync(root).filter((name) => /^\d+$/.test(name))) {
    const dir = `${root}/${pid}`;
    for (const name of TEXTS) yield { where: `/proc/${pid}/${name}`, text: look(() => readFileSync(`${dir}/${name}`, "latin1")) };
    for (const name of LINKS) yield { where: `/proc/${pid}/${name}`, text: look(() => readlinkSync(`${dir}/${name}`)) };
    for (const fd of unlessGone(() => readdirSync(`${dir}/fd`)) ?? []) {
      yield { where: `/proc/${pid}/fd/${fd}`, text: look(() => readlinkSync(`${dir}/fd/${fd}`)) };
    }
    for (const map of unlessGone(() => readdirSync(`${dir}/map_files`)) ?? []) {
      yield { where: `/proc/${pid}/map_files/${map}`, text: look(() => readlinkSync(`${dir}/map_files/${map}`)) };
    }
  }
}

/** The places on a host where one of these words can be read: in /proc, in what ps(1) prints, in the logs. */
export async function exposures(cluster: TestCluster, node: Node, words: readonly string[]): Promise<string[]> {
  const seen = [...glimpses(cluster, node)];
  for (const format of ["-ef", "axeww", "-eLo pid,user,comm,args,wchan"]) {
    seen.push({ where: `ps ${format}`, text: await cluster.sh(node, `ps ${format}`) });
  }
  seen.push({ where: "the logs", text: cluster.log(node) });
  return seen.flatMap(({ where, text }) => words.filter((word) => text.includes(word)).map((word) => `${word} in ${where}`));
}

/** How guests look in a host's process list: user and name of each. */
export async function guestsSeen(cluster: TestCluster, node: Node): Promise<string[]> {
  const engine = await cluster.sh(node, "cat /run/services/tesela-engine.pid");
  const rows = (await cluster.sh(node, "ps -eo ppid=,pid=,user=,args=")).split("\n").map((row) => row.trim().split(/\s+/));
  const below = (pid: string): string[][] => rows.filter(([ppid]) => ppid === pid).flatMap((row) => [row, ...below(row[1] as string)]);
  return below(engine).map(([, , user, ...args]) => `${user} ${args.join(" ")}`);
}
