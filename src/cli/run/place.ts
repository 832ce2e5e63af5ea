import { type ErrorCode, nodePaths, TeselaError, toTeselaError } from "../../base/mod.ts";
import {
  closedBy,
  closedText,
  DaemonClient,
  type Hints,
  mustKnow,
  type NodeRow,
  parseMask,
  parseNodeList,
  type RoomAsk,
  type RunAsk,
} from "../../daemon/mod.ts";
import { type Invocation, lastValue } from "../command.ts";
import { usage } from "../parse.ts";
import type { Room } from "./room.ts";

/** With -F, these mean "then at home". */
const NOT_AVAILABLE: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "E_NONODE",
  "E_NODE_DOWN",
  "E_NODAEMON",
  "E_NOENGINE",
  "E_LINK",
  "E_TIMEOUT",
  "E_REFUSED",
]);

/**
 * Tells teselad that process `pid` is about to become a program, and on which node it is wanted.
 * @param execs how many times it calls execve until it is the program
 * @throws TeselaError when the node is not available, unless -F was given
 */
export async function place(call: Invocation, { wanted, hints, room }: Said, pid: number, execs: number): Promise<void> {
  const client = new DaemonClient(nodePaths());
  const program = { pid, execs, lock: call.switches.has("lock"), hints };
  if (wanted === null && room === null) return await register(client, { ...program, target: null });
  try {
    if (room === null) await client.run({ ...program, target: await one(call, client, wanted ?? "home", hints) });
    else await inRoom(client, room, among(call, wanted), program);
  } catch (e) {
    const mayStay = call.switches.has("force") || (wanted === BEST && room === null);
    if (!mayStay || !NOT_AVAILABLE.has(toTeselaError(e).code)) throw e;
    await register(client, { ...program, target: null });
  }
}

async function inRoom(client: DaemonClient, room: Room, where: Among, program: Program): Promise<void> {
  const { beginInRoom } = await import("./room.ts");
  const { mask } = program.hints;
  const ask = { pid: program.pid, ...room, ...where, ...(mask !== undefined && { mask }) };
  await beginInRoom(client, ask, (target) => client.run({ ...program, target }));
}

/** What the options say. */
export interface Said {
  readonly wanted: Wanted;
  readonly hints: Hints;
  /** Null when it does not ask for any. */
  readonly room: Room | null;
}

type Program = Omit<RunAsk, "target"> & { readonly hints: Hints };
type Among = Pick<RoomAsk, "node" | "list" | "best">;

/** Where room is looked for: anywhere, unless it is said where. */
function among(call: Invocation, wanted: Wanted): Among {
  const list = lastValue(call, "one-of");
  if (list !== undefined) return { list };
  if (wanted === BEST) return { best: true };
  if (typeof wanted === "string") return { node: wanted };
  return call.switches.has("home") ? { node: "home" } : {};
}

/** At home, a program runs also where no teselad does: that it could not be told is no error. */
async function register(client: DaemonClient, ask: RunAsk): Promise<void> {
  try {
    await client.run(ask);
  } catch (e) {
    // What it said wrong is one anywhere.
    if (!(e instanceof TeselaError) || e.code === "E_NONODE") throw e;
  }
}

const BEST = Symbol("the best node");
/** One node, some of which one is to be chosen, the best, or home. */
export type Wanted = string | readonly number[] | typeof BEST | null;

async function one(call: Invocation, client: DaemonClient, wanted: NonNullable<Wanted>, { mask }: Hints): Promise<string> {
  if (wanted === BEST) return String((await client.best(mask === undefined ? {} : { mask })).node);
  return typeof wanted === "string" ? wanted : await choose(call, client, wanted as readonly number[], mask);
}

/** @throws TeselaError E_USAGE */
export function readWanted(call: Invocation): Wanted {
  const node = lastValue(call, "node");
  const list = lastValue(call, "one-of");
  const best = call.switches.has("best");
  const given = [call.switches.has("home"), node !== undefined, list !== undefined, best].filter(Boolean).length;
  if (given > 1) throw usage(call.command, "-h, -N, -j and -b exclude one another");
  if (call.switches.has("lock") && call.switches.has("unlock")) throw usage(call.command, "-l and -L exclude one another");
  if (call.switches.has("force") && node === undefined && list === undefined) throw usage(call.command, "-F needs -N or -j");
  if (best) return BEST;
  if (list === undefined) return node ?? null;
  try {
    return parseNodeList(list);
  } catch (e) {
    throw usage(call.command, (e as Error).message);
  }
}

function noneOf(nodes: readonly NodeRow[]): string {
  if (nodes.length === 0) return "none of these nodes is one that it may go to";
  const why = nodes.map((n) => (n.state === "up" ? closedText(n.id, closedBy(n.flags) ?? "") : `node ${n.id} is ${n.state}`));
  return `none of these nodes is up and takes guests: ${why.slice(0, MOST_TOLD).join("; ")}`;
}
/** Nodes of which it is told why they do not take it. */
const MOST_TOLD = 4;

/** Any of them that is up. */
async function choose(call: Invocation, client: DaemonClient, list: readonly number[], mask: string | undefined): Promise<string> {
  const among = mask === undefined ? list : list.filter((n) => parseMask(mask).allows(n));
  const nodes = await client.nodes();
  const known = nodes.map((n) => n.id);
  // By force it begins somewhere, whatever was said.
  if (!call.switches.has("force")) mustKnow(lastValue(call, "one-of") ?? "", known);
  const takes = (n: NodeRow): boolean => closedBy(n.flags) === undefined;
  const up = nodes.filter((n) => n.state === "up" && among.includes(n.id) && takes(n));
  const one = up[Math.floor(Math.random() * up.length)];
  if (one) return String(one.id);
  throw new TeselaError("E_NODE_DOWN", noneOf(nodes.filter((n) => among.includes(n.id))));
}
