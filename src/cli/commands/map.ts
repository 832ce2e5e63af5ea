import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { DEFAULT_PORT, fileTrouble, MAX_NODE_ID, nodePaths, type Paths, textTable, TeselaError } from "../../base/mod.ts";
import {
  formatMap,
  type MapLine,
  nodesOfMap,
  parseMap,
  readMap,
  readNodeConfig,
  readPeers,
  readRecord,
  writePeers,
} from "../../cluster/mod.ts";
import { DONE, type Invocation, lastValue } from "../command.ts";
import { print, printJson } from "../out.ts";
import { usage } from "../parse.ts";

const mapFile = (paths: Paths): string => `${paths.state}/map`;
const MAX_MAP = 16 * 1024 * 1024;

/** `setpe` writes the static map or takes it away, `showmap` and `setpe -r` print it. */
export async function run(call: Invocation): Promise<number> {
  const paths = nodePaths();
  const wants = ["write", "read", "off"].filter((s) => call.switches.has(s));
  if (wants.length > 1) throw usage(call.command, "want one of -w, -r and -off");
  const own = readNodeConfig(paths);
  const number = lastValue(call, "number");
  if (number !== undefined && Number(number) !== own.id)
    throw new TeselaError("E_CONFIG", `this is node ${own.id}: its number is in its certificate, and is for life (1 to ${MAX_NODE_ID})`);
  if (wants[0] === "write") return write(call, paths);
  if (wants[0] === "off") return off(call, paths);
  const lines = readMap(mapFile(paths)) ?? [];
  if (call.json) printJson({ id: own.id, map: lines });
  else if (wants[0] === "read") print(formatMap(lines).trimEnd());
  else {
    print(`This is node ${own.id}`);
    const rows = lines.map((l) => [String(l.id), l.address, String(l.range)]);
    if (rows.length > 0) print(textTable(rows, [{ title: "BASE", right: true }, { title: "ADDRESS" }, { title: "COUNT", right: true }]));
  }
  return DONE;
}

function write(call: Invocation, paths: Paths): number {
  const file = lastValue(call, "file");
  if (file === undefined) throw usage(call.command, "map -w: want -f MAP, or -f - and the map on stdin");
  const text = readGiven(file);
  if (text.length > MAX_MAP) throw new TeselaError("E_CONFIG", `${file}: longer than any map`);
  const lines = parseMap(text, file === "-" ? "stdin" : file);
  const { id, name } = readNodeConfig(paths);
  const nodes = nodesOfMap(lines);
  if (!nodes.some((n) => n.id === id)) throw new TeselaError("E_CONFIG", `${file}: this node, ${id} (${name}), is not in the map`);
  const rows = new Map(readPeers(paths).map((p) => [p.id, p]));
  const names = new Set([...rows.values()].map((p) => p.name));
  for (const { id: n, address } of nodes) {
    const known = rows.get(n);
    rows.set(n, known ? { ...known, address } : { id: n, name: names.has(`n${n}`) ? `node-${n}` : `n${n}`, address, port: DEFAULT_PORT });
  }
  writePeers(
    paths,
    [...rows.values()].sort((a, b) => a.id - b.id),
  );
  writeFileSync(mapFile(paths), formatMap(lines));
  if (call.json) printJson({ id, map: lines });
  else print(`${nodes.length} nodes are in the map`);
  return DONE;
}

function readGiven(file: string): string {
  try {
    return readFileSync(file === "-" ? 0 : file, "utf8");
  } catch (cause) {
    throw new TeselaError("E_CONFIG", `${file}: ${fileTrouble(cause)}`, {}, { cause });
  }
}

/** Nodes that only the map knows go with it. */
function off(call: Invocation, paths: Paths): number {
  const lines: MapLine[] = readMap(mapFile(paths)) ?? [];
  const { id, cluster } = readNodeConfig(paths);
  const ca = readFileSync(`${paths.identity}/ca.pem`, "utf8");
  const record = readRecord(paths, cluster, ca);
  const mapped = new Set(nodesOfMap(lines).map((n) => n.id));
  const peers = readPeers(paths);
  const stay = peers.filter((p) => p.id === id || !mapped.has(p.id) || record.get(p.id)?.standing === "member");
  writePeers(paths, stay);
  rmSync(mapFile(paths), { force: true });
  if (call.json) printJson({ id, map: [] });
  else print(`the map is off: ${stay.length} nodes are known`);
  return DONE;
}
