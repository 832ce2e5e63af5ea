import { createHash } from "node:crypto";
import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { TestCluster } from "../cluster/harness.ts";
import { homecomings, listen, type Outcome, start, troubles } from "../cluster/move.ts";
import { type Moves, moveAbout, type MoverOptions, places } from "./mover.ts";
import { type Comparison, DATA, PRELUDE, type Program, SCRIPTS, wholeScript } from "./program.ts";
import { glimpse, Tree } from "./tree.ts";

/** Runs a program twice, at home and moved about, and tells whether it noticed. */

export interface Result {
  readonly name: string;
  /** `same`, or what is wrong. */
  readonly verdict: string;
  readonly ok: boolean;
  readonly moves: Moves;
  /** Why processes came home of their own, and how often. */
  readonly homecomings: ReadonlyMap<string, number>;
  /** What engines complained about. */
  readonly troubles: readonly string[];
  /** Seconds that it took unmoved, and moved. */
  readonly seconds: readonly [number, number];
}

const UNMOVED_MS = 180_000;
/** A program that is moved all the time takes longer; beyond this it hangs. */
const SLOWER = 20;
const LEAST_MS = 90_000;
const MOST_MS = 420_000;
const GRACE_MS = 30_000;
const GRACE_POLL_MS = 20;
const FOLDER = "/tmp/zoo/run";

const PATH = ["/usr/local/sbin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
/** What of a program's needs is not on this machine. */
export function missing(p: Program): string[] {
  return p.needs.filter((need) => !(need.startsWith("/") ? existsSync(need) : PATH.some((dir) => existsSync(`${dir}/${need}`))));
}

/** Puts input and helper scripts on node 1. */
export async function prepareZoo(cluster: TestCluster): Promise<void> {
  const scripts = fileURLToPath(new URL("./scripts", import.meta.url));
  await cluster.sh(1, `mkdir -p /tmp/zoo ${DATA} && cp -r ${scripts} ${SCRIPTS} && perl ${SCRIPTS}/data.pl ${DATA}`);
}

interface Observed extends Outcome {
  readonly files: ReadonlyMap<string, string>;
}

export async function runProgram(cluster: TestCluster, p: Program, o: MoverOptions): Promise<Result> {
  const where = `${FOLDER}/${p.name.replaceAll(/\W+/g, "-")}`;
  const said = listen(cluster);
  const t0 = performance.now();
  const want = await observe(cluster, p, where, UNMOVED_MS, null).catch((e: Error) => ({
    status: -1,
    stdout: "",
    stderr: e.message,
    files: new Map(),
  }));
  const t1 = performance.now();
  const guardMs = Math.min(MOST_MS, Math.max(LEAST_MS, (t1 - t0) * SLOWER));
  let moves: Moves = { made: new Map(), refused: new Map(), failed: new Map() };
  const verdict = await (async (): Promise<string> => {
    if (want.status !== 0)
      return `fails unmoved: status ${want.status}, ${JSON.stringify(want.stderr.slice(-400) || want.stdout.slice(-400))}`;
    let have: Observed;
    try {
      have = await observe(cluster, p, where, guardMs, async (tree, program, end) => {
        moves = await moveAbout(cluster, tree, program, end, o);
      });
    } catch (e) {
      return (e as Error).message;
    }
    return difference(have, want, p.compare) ?? "same";
  })();
  const seconds = [(t1 - t0) / 1000, (performance.now() - t1) / 1000] as const;
  const home = new Map<string, number>();
  for (const reason of homecomings(said(1))) home.set(reason, (home.get(reason) ?? 0) + 1);
  const found = [1, 2, 3].flatMap((n) => troubles(said(n)).map((t) => `node ${n}: ${t}`));
  await cluster.sh(1, `rm -rf ${where}`);
  const lost = found.filter((t) => /"level":"error"/.test(t));
  const ok = verdict === "same" && lost.length === 0 && (p.refused === undefined || (moves.refused.get(p.refused) ?? 0) > 0);
  return {
    name: p.name,
    ok,
    verdict: verdict === "same" && !ok ? notOk(p, lost) : verdict,
    moves,
    homecomings: home,
    troubles: found,
    seconds,
  };
}

const notOk = (p: Program, lost: readonly string[]): string =>
  lost.length > 0 ? `same output, but ${lost[0]}` : `same output, but nothing of it was refused by '${p.refused}'`;

type While = (tree: Tree, program: number, end: Promise<unknown>) => Promise<void>;

/** One run in a fresh folder; `meanwhile` is called when it has started. @throws Error when it hangs */
async function observe(cluster: TestCluster, p: Program, where: string, guardMs: number, meanwhile: While | null): Promise<Observed> {
  await cluster.sh(1, `rm -rf ${where} && mkdir -p ${where}`);
  if (p.prepare) await cluster.output(1, ["bash", "--norc", "-c", PRELUDE + p.prepare], { cwd: where, timeoutMs: UNMOVED_MS });
  const tree = new Tree(cluster, 1);
  await using running = await start(cluster, wholeScript(p), { cwd: where, env: { BASH_ENV: "", ENV: "" }, guardMs: 0 });
  const moving = meanwhile?.(tree, running.outerPid, running.end);
  let hung = "";
  const guard = setTimeout(() => {
    void places(cluster).then((at) => {
      const lines = tree.members(running.outerPid).map((m) => glimpse(m, at.get(m.pid) ?? 1));
      hung = `hangs (${Math.round(guardMs / 1000)} s)\n  ${lines.join("\n  ")}`;
      tree.end(running.outerPid);
    });
  }, guardMs);
  const outcome = await running.end;
  clearTimeout(guard);
  await moving;
  // What ends when the program has ended takes a moment to do so.
  for (const late = performance.now() + GRACE_MS; tree.members(running.outerPid).length > 0 && performance.now() < late; )
    await sleep(GRACE_POLL_MS);
  const left = tree.end(running.outerPid);
  if (hung !== "") throw new Error(hung);
  const inits = cluster.state.hosts.find((h) => h.id === 1)?.init?.pid;
  const files = new Map<string, string>();
  walk(`/proc/${inits}/root${where}`, "", files);
  return { ...outcome, stderr: outcome.stderr + (left.length > 0 ? `left running: ${left.join(" ")}\n` : ""), files };
}

/** Everything below a folder, by path: kind, mode and content. */
function walk(root: string, at: string, files: Map<string, string>): void {
  for (const name of readdirSync(`${root}/${at}`).sort()) {
    const path = at === "" ? name : `${at}/${name}`;
    const full = `${root}/${path}`;
    const s = lstatSync(full);
    const mode = (s.mode & 0o7777).toString(8);
    if (s.isDirectory()) {
      files.set(path, `directory ${mode}`);
      walk(root, path, files);
    } else if (s.isSymbolicLink()) files.set(path, `link to ${readlinkSync(full)}`);
    else if (s.isFile())
      files.set(path, `file ${mode} ${s.size} ${createHash("sha256").update(readFileSync(full)).digest("hex").slice(0, 16)}`);
    else files.set(path, `special ${mode}`);
  }
}

/** Where two runs part, in few words; null when they do not. */
export function difference(have: Observed, want: Observed, c: Comparison | undefined): string | null {
  const plain = (text: string): string => (c?.replace ?? []).reduce((t, [what, by]) => t.replace(what, by), text);
  if (have.status !== want.status) return `status ${have.status}, not ${want.status}; stderr ${JSON.stringify(have.stderr.slice(-500))}`;
  for (const name of ["stdout", "stderr"] as const) {
    const [a, b] = [plain(have[name]), plain(want[name])];
    if (a === b) continue;
    let at = 0;
    while (a[at] === b[at]) at++;
    const part = (text: string): string => JSON.stringify(text.slice(Math.max(at - 60, 0), at + 200));
    return `${name} differs at ${at} of ${b.length}: ${part(a)}, not ${part(b)}`;
  }
  for (const path of new Set([...want.files.keys(), ...have.files.keys()])) {
    if (c?.ignore?.test(path) || have.files.get(path) === want.files.get(path)) continue;
    return `file ${path}: ${have.files.get(path) ?? "is not there"}, not: ${want.files.get(path) ?? "there"}`;
  }
  return null;
}
