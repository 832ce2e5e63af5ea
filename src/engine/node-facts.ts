import { readFileSync } from "node:fs";
import { freemem } from "node:os";
import { humanBytes, TeselaError } from "../base/mod.ts";
import { possibleCpus } from "./cpus.ts";
import { canShiftClocks, clockName } from "./clocks.ts";
import { readFeatures } from "./features.ts";
import { ownVdso } from "./own-vdso.ts";
import type { Head } from "../wire/mod.ts";

/** What decides whether a process of another machine can run on this one. */
export interface NodeFacts {
  readonly node: number;
  /** What programs can use of the CPU, as /proc/cpuinfo names it. */
  readonly cpu: ReadonlySet<string>;
  /** Names the vdso here: programs that know another one get theirs patched. */
  readonly vdso: string | null;
  /** Names the clocks that count from boot: clockName(). */
  readonly boot: string;
  /** How many CPUs its machine can have: programs of other nodes are told no higher numbers than their own has. */
  readonly cpus: number;
  /** No guests are taken. */
  blocked: boolean;
}

/** Kept free for the owner: a process is not taken if less would be left. */
const SPARE_BYTES = 64 * 1024 * 1024;

export function readNodeFacts(node: number): NodeFacts {
  return {
    node,
    boot: clockName(),
    cpu: readFeatures(),
    cpus: possibleCpus(),
    vdso: ownVdso()?.hash ?? null,
    blocked: false,
  };
}

/** What guests may still take of a node: one more process, and so many bytes. */
interface Room {
  readonly process: boolean;
  readonly memory: number;
}

/**
 * Asked at the offer, and again before a guest begins: whoever has told the node to take none and sends its guests away sees all of them.
 * @throws TeselaError E_REFUSED
 */
export function takesGuests({ blocked, node }: NodeFacts): void {
  if (blocked)
    throw new TeselaError("E_REFUSED", `node ${node} takes no guests: it is told so by tesela ctl (block, expel or quiet)`, { node });
}

/** @throws TeselaError E_REFUSED, E_NOMEM, or E_CANTMOVE when just this node cannot run the process */
export function acceptable(offer: Head<"offer">, facts: NodeFacts, room: Room): void {
  takesGuests(facts);
  if (!room.process)
    throw new TeselaError("E_REFUSED", `node ${facts.node} takes no more guests: its tesela.toml, [guests] processes, says how many`, {
      reasons: ["guest_limit"],
    });
  if (offer.boot !== facts.boot && !canShiftClocks()) {
    throw new TeselaError("E_CANTMOVE", `node ${facts.node} has other monotonic clocks and no time namespaces`, {
      reasons: ["clocks_differ"],
    });
  }
  const lacking = offer.cpu.filter((f) => !facts.cpu.has(f));
  if (lacking.length > 0) {
    throw new TeselaError("E_CANTMOVE", `node ${facts.node} lacks CPU features: ${someOf(lacking)}`, {
      reasons: ["cpu_features"],
    });
  }
  // Above the guests' own limit the kernel would make room by ending the largest of those that run here.
  if (offer.bytes > room.memory) {
    throw new TeselaError(
      "E_NOMEM",
      `node ${facts.node} has ${humanBytes(Math.max(0, room.memory))} for guests, the process needs ${humanBytes(offer.bytes)}`,
    );
  }
}

/** Bytes that guests may take, where no more than so many are left to them. */
export const roomFor = (left: number): number => Math.min(freeMemory() - SPARE_BYTES, left);

function someOf(names: readonly string[]): string {
  const more = names.length - MAX_NAMED;
  return names.slice(0, MAX_NAMED).join(" ") + (more > 0 ? ` and ${more} more` : "");
}
const MAX_NAMED = 8;

/** What the cgroup still allows, or what the machine has, whichever is less. */
function freeMemory(): number {
  const line = /^MemAvailable:\s+(\d+)/m.exec(readFileSync("/proc/meminfo", "utf8"))?.[1];
  return line === undefined ? freemem() : Number(line) * 1024;
}
