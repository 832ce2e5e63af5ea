import { humanBytes } from "../base/mod.ts";
import type { NodeView } from "./views.ts";

/** The words of decisions: short, with their numbers, for people. */

/** Why a node is no target at all, whatever it would gain. */
export type Bar = "old" | "closed" | "forbidden" | "arrival" | "owner" | "memory";

const BARS: Readonly<Record<Bar, string>> = {
  old: "has not been heard of for too long",
  closed: "takes no processes",
  forbidden: "is none that it may use",
  arrival: "has another on its way there",
  owner: "is used by its owner",
  memory: "has too little free memory",
};

export const load = (n: number): string => n.toFixed(2);
/** Seconds, with as many digits as mean something. */
export const seconds = (s: number): string => {
  if (!Number.isFinite(s)) return "endless time";
  return `${Math.abs(s) >= 100 ? Math.round(s) : s.toFixed(Math.abs(s) < 1 ? 2 : 1)} s`;
};
export const bytes = (n: number): string => (n < 0 ? `-${humanBytes(-n)}` : humanBytes(n));
export const barText = ({ id, closed }: Pick<NodeView, "id" | "closed">, bar: Bar): string =>
  `node ${id} ${BARS[bar]}${bar === "closed" && closed !== undefined ? ` (${closed})` : ""}`;
