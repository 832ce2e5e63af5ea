import { readFileSync } from "node:fs";
import { MAX_NODE_ID, TeselaError } from "../base/mod.ts";

/** A line of a static map, as openMosix had them: so many nodes from this number and this address on, or another address of a node. */
export interface MapLine {
  readonly id: number;
  /** An IPv4 address, or a host name on a line of one node. */
  readonly address: string;
  readonly range: number | "ALIAS";
}

export interface MappedNode {
  readonly id: number;
  readonly address: string;
}

const isIPv4 = (text: string): boolean =>
  /^\d{1,3}(\.\d{1,3}){3}$/.test(text) && text.split(".").every((part) => String(Number(part)) === part && Number(part) < 256);

/** Nodes that one map may have. */
const MAX_MAPPED = MAX_NODE_ID;
const HOST = /^[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?$/;

/**
 * Reads lines `ID ADDRESS RANGE` and `ID ADDRESS ALIAS`; `#` begins a comment.
 * @throws E_CONFIG naming the line
 */
export function parseMap(text: string, where: string): MapLine[] {
  const lines: MapLine[] = [];
  for (const [i, whole] of text.split("\n").entries()) {
    const words = whole.replace(/#.*/, "").trim().split(/\s+/);
    if (words.length === 1 && words[0] === "") continue;
    const wrong = (what: string) => new TeselaError("E_CONFIG", `${where}:${i + 1}: ${what}`);
    const [number = "", address = "", range = ""] = words;
    if (words.length !== 3) throw wrong("want ID ADDRESS RANGE, or ID ADDRESS ALIAS");
    const id = Number(number);
    if (!/^\d+$/.test(number) || id < 1 || id > MAX_NODE_ID) throw wrong(`number '${number}': want 1 to ${MAX_NODE_ID}`);
    if (!HOST.test(address) || (/^[\d.]+$/.test(address) && !isIPv4(address)))
      throw wrong(`address '${address}': want an IPv4 address or a host name`);
    if (range.toUpperCase() === "ALIAS") {
      lines.push({ id, address, range: "ALIAS" });
      continue;
    }
    const count = Number(range);
    if (!/^\d+$/.test(range) || count < 1 || id + count - 1 > MAX_NODE_ID)
      throw wrong(`range '${range}': want 1 or more, up to number ${MAX_NODE_ID}`);
    if (count > 1 && !isIPv4(address)) throw wrong(`a range of ${count} begins at an IPv4 address, not at '${address}'`);
    if (count > 1 && numberOf(address) + count - 1 > 0xffff_ffff) throw wrong(`the range ends behind the last address`);
    lines.push({ id, address, range: count });
  }
  const nodes = nodesOfMap(lines);
  const seen = new Map<number | string, MappedNode>();
  for (const node of nodes) {
    for (const key of [node.id, node.address]) {
      const other = seen.get(key);
      if (other !== undefined)
        throw new TeselaError(
          "E_CONFIG",
          `${where}: node ${node.id} at ${node.address} and node ${other.id} at ${other.address} contradict each other`,
        );
      seen.set(key, node);
    }
  }
  for (const { id, range } of lines) {
    if (range === "ALIAS" && !seen.has(id)) throw new TeselaError("E_CONFIG", `${where}: an alias for node ${id}, which is in no range`);
  }
  return lines;
}

/** One by one, without aliases. */
export function nodesOfMap(lines: readonly MapLine[]): MappedNode[] {
  const nodes: MappedNode[] = [];
  for (const { id, address, range } of lines) {
    if (range === "ALIAS") continue;
    for (let n = 0; n < range && nodes.length < MAX_MAPPED; n++)
      nodes.push({ id: id + n, address: n === 0 ? address : addressOf(numberOf(address) + n) });
  }
  return nodes;
}

export const formatMap = (lines: readonly MapLine[]): string => lines.map((l) => `${l.id} ${l.address} ${l.range}\n`).join("");

/** Null when there is no map. @throws E_CONFIG */
export function readMap(file: string): MapLine[] | null {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw new TeselaError("E_CONFIG", `${file}: ${(cause as Error).message}`, {}, { cause });
  }
  return parseMap(text, file);
}

const numberOf = (address: string): number => address.split(".").reduce((n, part) => n * 256 + Number(part), 0);
const addressOf = (n: number): string => [24, 16, 8, 0].map((shift) => Math.floor(n / 2 ** shift) % 256).join(".");
