import { type Column, cutTo, humanBytes, nodePaths, printable, textTable } from "../../base/mod.ts";
import { DaemonClient, type ProcessRow } from "../../daemon/mod.ts";
import { DONE, type Invocation } from "../command.ts";
import { print, printJson } from "../out.ts";

const COLUMNS: readonly Column[] = [
  { title: "PID", right: true },
  { title: "USER" },
  { title: "HOME", right: true },
  { title: "NODE", right: true },
  { title: "NMIGS", right: true },
  { title: "S" },
  { title: "%CPU", right: true },
  { title: "RSS", right: true },
  { title: "LOCK" },
  { title: "CANTMOVE" },
  { title: "COMMAND" },
];
/** Lines are cut to a terminal's width, and whole where nobody's terminal is. */
const MIN_WIDTH = 40;

export async function run(call: Invocation): Promise<number> {
  const client = new DaemonClient(nodePaths());
  const [all, { node }] = await Promise.all([client.ps(), client.status()]);
  // In `tesela shell` this command is under load levelling itself, and nobody wants to know of it.
  const rows = all.filter((r) => r.home !== node || r.pid !== process.pid);
  if (call.json) {
    printJson(rows);
    return DONE;
  }
  const { isatty } = await import("node:tty");
  print(psTable(rows, node, isatty(1) ? terminalWidth() : Number.POSITIVE_INFINITY));
  return DONE;
}

function terminalWidth(): number {
  const columns = Number(process.env["COLUMNS"]) || process.stdout.columns || 80;
  return Math.max(MIN_WIDTH, columns);
}

/** Processes of this node by their PID, others by their cluster PID. */
export function psTable(rows: readonly ProcessRow[], here: number, columns: number): string {
  const cells = rows.map((r) => [
    r.home === here ? String(r.pid) : r.cpid,
    printable(r.user),
    String(r.home),
    r.cutMs === undefined ? String(r.node) : `${r.node} (cut)`,
    String(r.nmigs),
    r.state,
    (r.cpu * 100).toFixed(1),
    humanBytes(r.rss),
    r.lock ? "yes" : "-",
    r.cantmove.length > 0 ? r.cantmove.join(",") : "-",
    printable(r.command),
  ]);
  return textTable(cells, COLUMNS)
    .split("\n")
    .map((line) => cutTo(line, columns))
    .join("\n");
}
