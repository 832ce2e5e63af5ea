import type { ChildProcess } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { TeselaError } from "../base/mod.ts";
import type { DaemonClient, NodeRow, ProcessRow } from "../daemon/mod.ts";
import { Crew, wrongRecords } from "./crew.ts";
import { beforeAfter, gaugeLine, scaleFor, shareText } from "./gauge.ts";
import { crewCommand } from "./records.ts";

/** The node where the children begin, as its user has it. */
export interface Site {
  readonly client: DaemonClient;
  /** Starts a program there, with pipes as stdin, stdout and stderr. */
  readonly spawn: (argv: readonly [string, ...string[]]) => ChildProcess;
  /** What comes before a program so that it may move: `tesela run`. */
  readonly moving: readonly [string, ...string[]];
}

export interface Plan {
  readonly children: number;
  readonly seconds: number;
  /** Levelling is off until then. 0: it is left as it is. */
  readonly on: number;
  /** The bar's end in records a second; null: what all CPUs could make. */
  readonly max: number | null;
  /** Absolute. */
  readonly file: string;
  /** CPUs there are altogether, where nodes share some. */
  readonly cpus?: number;
  /** Lines also say what each node makes. */
  readonly shares?: boolean;
}

export interface Outcome {
  /** Records a second. */
  readonly rise: { readonly before: number; readonly after: number } | null;
  readonly records: number;
  /** Records that are not what the same program makes of them without Tesela. */
  readonly wrong: number;
  /** Children that ended before they were told to. */
  readonly failed: number;
  /** Children that moved, and their moves. */
  readonly movers: number;
  readonly moves: number;
  /** Where they were in the last second: names of nodes, and how many there. */
  readonly places: readonly { readonly node: string; readonly children: number }[];
}

/** Levelling on all nodes that are up. @throws TeselaError E_PERM, E_NODAEMON */
export async function levelAll(client: DaemonClient, on: boolean): Promise<void> {
  for (const { id } of await upNodes(client)) await client.ctl({ verb: on ? "level" : "nolevel", node: String(id) });
}

const upNodes = async (client: DaemonClient): Promise<NodeRow[]> => (await client.nodes()).filter((n) => n.state === "up");

/** Children process records, a line a second tells how many; then the same is done without Tesela, and compared. */
export async function proclb(site: Site, plan: Plan, tell: (line: string) => void, signal: AbortSignal): Promise<Outcome> {
  if (plan.on === 0) return await show(site, plan, tell, signal);
  try {
    await levelAll(site.client, false);
    return await show(site, plan, tell, signal);
  } finally {
    await levelAll(site.client, true);
  }
}

async function show(site: Site, plan: Plan, tell: (line: string) => void, signal: AbortSignal): Promise<Outcome> {
  const { node } = await site.client.status(signal);
  const crew = new Crew(site.spawn([...site.moving, ...crewCommand(plan.file, plan.children)]), plan.children);
  const watch = new Watch(site, crew, node);
  const rates: number[] = [];
  try {
    await crew.ready(signal);
    crew.take();
    let { max } = plan;
    const begun = performance.now();
    let last = begun;
    for (let second = 1; second <= plan.seconds; second++) {
      await sleep(Math.max(0, begun + second * 1000 - performance.now()), undefined, { signal });
      const now = performance.now();
      const each = crew.take().map((n) => (n * 1000) / (now - last));
      last = now;
      const rate = sum(each);
      rates.push(rate);
      const nodes = await watch.look(signal);
      max ??= scaleOf(rate, nodes, node, plan);
      tell(plan.shares ? `${gaugeLine(second, rate, max, SHORT_BAR)}  ${watch.share(each, nodes)}` : gaugeLine(second, rate, max));
      if (second !== plan.on || second === plan.seconds) continue;
      await levelAll(site.client, true);
      tell("     load levelling is switched on (tesela loadlevel on --all)");
    }
  } finally {
    await crew.end();
  }
  tell("The same once more, without Tesela, to compare ...");
  const right = await unmoved(site, plan, Math.max(...crew.totals.map((t) => t.length)), signal);
  return {
    rise: beforeAfter(rates, plan.on),
    records: sum(crew.totals.map((t) => t.length)),
    wrong: sum(crew.totals.map((t) => wrongRecords(t, right))),
    failed: crew.failed().length,
    ...watch.moved(),
    places: watch.places(),
  };
}

const SHORT_BAR = 24;
const sum = (list: readonly number[]): number => list.reduce((a, b) => a + b, 0);

function scaleOf(rate: number, nodes: readonly NodeRow[], home: number, plan: Plan): number {
  const most = (cpus: number): number => Math.min(cpus, plan.children);
  const here = nodes.find((n) => n.id === home)?.cpus ?? 1;
  return scaleFor(rate, most(here), most(plan.cpus ?? sum(nodes.map((n) => n.cpus))));
}

/** What one child says when it never moves: all of them read the same file. */
async function unmoved(site: Site, plan: Plan, records: number, signal: AbortSignal): Promise<readonly number[]> {
  const crew = new Crew(site.spawn(crewCommand(plan.file, 1)), 1);
  try {
    await crew.reach(records, signal);
  } finally {
    await crew.end();
  }
  return crew.totals[0] ?? [];
}

/** Where the children are, and how often they moved. */
class Watch {
  private readonly site: Site;
  private readonly crew: Crew;
  private readonly home: number;
  private nodes: NodeRow[] = [];
  private rows = new Map<number, ProcessRow>();
  private readonly nmigs = new Map<number, number>();

  constructor(site: Site, crew: Crew, home: number) {
    this.site = site;
    this.crew = crew;
    this.home = home;
  }

  /** @returns the nodes that are up */
  async look(signal: AbortSignal): Promise<readonly NodeRow[]> {
    try {
      const { client } = this.site;
      const [nodes, rows] = await Promise.all([upNodes(client), client.ps(signal)]);
      this.nodes = nodes;
      this.rows = new Map(rows.flatMap((r) => (r.home === this.home ? [[r.pid, r]] : [])));
      for (const pid of this.crew.pids) this.nmigs.set(pid, Math.max(this.nmigs.get(pid) ?? 0, this.rows.get(pid)?.nmigs ?? 0));
    } catch (e) {
      // What is known of them may be a second late; what they do is read from their pipe.
      if (!(e instanceof TeselaError) || signal.aborted) throw e;
    }
    return this.nodes;
  }

  share(perChild: readonly number[], nodes: readonly NodeRow[]): string {
    const rates = nodes.map(({ id }) => sum(perChild.filter((_, i) => this.where(i) === id)));
    return shareText(
      nodes.map((n) => n.name),
      rates,
    );
  }

  moved(): { movers: number; moves: number } {
    const all = [...this.nmigs.values()];
    return { movers: all.filter((n) => n > 0).length, moves: sum(all) };
  }

  places(): Outcome["places"] {
    const at = this.crew.pids.map((_, i) => this.where(i));
    return this.nodes.map(({ id, name }) => ({ node: name, children: at.filter((n) => n === id).length }));
  }

  private where(child: number): number {
    return this.rows.get(this.crew.pids[child] ?? 0)?.node ?? this.home;
  }
}
