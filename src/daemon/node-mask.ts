import { MAX_NODE_ID, TeselaError } from "../base/mod.ts";

/** Which nodes a process may be sent to. Home is not asked about: a process may always come back to it. */
export interface NodeMask {
  /** As people write it: `1-4,7` these alone, `!3,9-12` all but these. */
  readonly text: string;
  readonly allows: (node: number) => boolean;
}

interface Range {
  readonly first: number;
  readonly last: number;
}

const ALL_BUT = "!";
/** Texts that were read, so that each is read once and not for every process in every round. */
const known = new Map<string, NodeMask>();
const MOST_KNOWN = 256;
/** No list that a person writes is longer. */
export const LONGEST_MASK = 1024;

/** `1-4,7`. @throws RangeError */
function parseRanges(text: string): Range[] {
  return text.split(",").map((part) => {
    const m = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part);
    const first = Number(m?.[1] ?? Number.NaN);
    const last = Number(m?.[2] ?? first);
    if (!(first >= 1 && last >= first && last <= MAX_NODE_ID))
      throw new RangeError(`node list '${text}': want numbers and ranges, as 1-4,7`);
    return { first, last };
  });
}

/** `1-4,7` as numbers. @throws RangeError */
export function parseNodeList(text: string): number[] {
  const nodes = new Set<number>();
  for (const { first, last } of parseRanges(text)) for (let n = first; n <= last; n++) nodes.add(n);
  return [...nodes];
}

/** Numbers as a list that people write: `1-4,7`. @param numbers rising */
function rangesText(numbers: readonly number[]): string {
  const ranges: { first: number; last: number }[] = [];
  for (const n of numbers) {
    const range = ranges.at(-1);
    if (range && range.last === n - 1) range.last = n;
    else ranges.push({ first: n, last: n });
  }
  return ranges.map(({ first, last }) => (first === last ? String(first) : `${first}-${last}`)).join(",");
}

/**
 * A list, or a mask, has to be of nodes of the cluster, up or down: a slip would otherwise keep a process away from all nodes, or from none.
 * @throws TeselaError E_NONODE that names those that are not
 */
export function mustKnow(list: string, nodes: readonly number[]): void {
  // Ranges may overlap as they like.
  const named = new Uint8Array(MAX_NODE_ID + 1);
  for (const { first, last } of parseRanges(list.startsWith(ALL_BUT) ? list.slice(ALL_BUT.length) : list)) named.fill(1, first, last + 1);
  const known = new Set(nodes);
  const strange: number[] = [];
  for (let n = 1; n <= MAX_NODE_ID; n++) if (named[n] === 1 && !known.has(n)) strange.push(n);
  if (strange.length === 0) return;
  const which = strange.length === 1 ? `is no node ${strange[0]}` : `are no nodes ${rangesText(strange)}`;
  const message = `there ${which} in this cluster: its nodes are ${rangesText([...nodes].sort((a, b) => a - b))}`;
  throw new TeselaError("E_NONODE", message, { nodes: list });
}

/** @throws RangeError */
export function parseMask(text: string): NodeMask {
  const before = known.get(text);
  if (before) return before;
  if (text.length > LONGEST_MASK) throw new RangeError(`a node list of more than ${LONGEST_MASK} characters`);
  const denies = text.startsWith(ALL_BUT);
  const ranges = parseRanges(denies ? text.slice(ALL_BUT.length) : text);
  const mask: NodeMask = { text, allows: (node) => ranges.some((r) => node >= r.first && node <= r.last) !== denies };
  if (known.size >= MOST_KNOWN) known.clear();
  known.set(text, mask);
  return mask;
}

/** `nodes 1-4,7`, `node 2`, `all nodes but 3`. */
export function maskText(text: string): string {
  if (text.startsWith(ALL_BUT)) return `all nodes but ${text.slice(ALL_BUT.length)}`;
  return /^\d+$/.test(text) ? `node ${text}` : `nodes ${text}`;
}
