import { degraded, type Finding, ok, unknown } from "./finding.ts";

/** What is between this node and the others, as the daemon has seen it. */

/** Nodes call each half minute; who was not heard for so long is not heard. */
const HEARD_MS = 75_000;
/** Certificates begin a day before they are made: from half of that on it is worth a thought. */
const FAR_MS = 12 * 3_600_000;
const NEAR_MS = 1000;

export interface Calls {
  /** Whether this node calls and listens. */
  readonly on: boolean;
  readonly uptimeMs: number;
  /** The other nodes that are up. */
  readonly up: readonly number[];
  readonly heard: readonly { readonly id: number; readonly agoMs: number }[];
}

/** @param calls null when the daemon does not say */
export function multicastFinding(calls: Calls | null): Finding {
  const check = "multicast";
  if (calls === null) return unknown(check, "teselad does not run, which would say");
  const { on, uptimeMs, up, heard } = calls;
  if (!on) return ok(check, "not used: tesela discover --on");
  const lately = new Set(heard.filter((h) => h.agoMs <= HEARD_MS).map((h) => h.id));
  const of = up.filter((id) => lately.has(id)).length;
  if (up.length === 0) return unknown(check, "no other node is up to be heard");
  if (of > 0) return ok(check, `${of} of ${up.length} other nodes were heard lately`);
  if (uptimeMs < HEARD_MS) return unknown(check, "nobody was heard yet");
  return degraded(
    check,
    `none of the ${up.length} other nodes that are up was heard`,
    "let UDP 5429 to 239.192.70.28 pass (firewall, IGMP snooping of a switch), or name seeds: tesela discover -s ADDRESS",
  );
}

/** Clocks may differ as they like as far as Tesela goes: a note, but where certificates are concerned. @param rows null when the daemon does not say */
export function clockFinding(rows: readonly { readonly node: number; readonly aheadMs: number; readonly offMs: number }[] | null): Finding {
  const check = "clock";
  if (rows === null) return unknown(check, "not compared: teselad does not run");
  if (rows.length === 0) return unknown(check, "no other node to compare it with");
  const far = [...rows].sort((a, b) => Math.abs(b.aheadMs) - Math.abs(a.aheadMs));
  const [first] = far;
  const differ = far.filter((r) => Math.abs(r.aheadMs) - r.offMs > NEAR_MS);
  if (first === undefined || differ.length === 0) return ok(check, `as that of ${rows.length} other nodes, to a second`);
  const some = differ.slice(0, 3).map((r) => `node ${r.node} is ${lasting(Math.abs(r.aheadMs))} ${r.aheadMs > 0 ? "ahead" : "behind"}`);
  const found = some.join(", ") + (differ.length > 3 ? `, and ${differ.length - 3} more` : "");
  if (Math.abs(first.aheadMs) < FAR_MS) return ok(check, found);
  return degraded(check, found, "set it where it is wrong: certificates that are made now may not hold yet, or no more, on the other side");
}

const UNITS = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["min", 60_000],
] as const;

function lasting(ms: number): string {
  const [unit, long] = UNITS.find(([, each]) => ms >= each) ?? ["s", 1000];
  return `${(ms / long).toFixed(1)} ${unit}`;
}
