import { type Column, humanBytes, nodePaths, printable, textTable } from "../../base/mod.ts";
import { DaemonClient, type NodeRow } from "../../daemon/mod.ts";
import { DONE, type Invocation } from "../command.ts";
import { print, printJson } from "../out.ts";

const BRIEF: readonly Column[] = [
  { title: "ID", right: true },
  { title: "NAME" },
  { title: "STATE" },
  { title: "CPUS", right: true },
  { title: "LOAD", right: true },
  { title: "FREE", right: true },
  { title: "GUESTS", right: true },
  { title: "AWAY", right: true },
];
const FLAGS: Column = { title: "FLAGS" };
const VERBOSE: readonly Column[] = [...BRIEF, { title: "TOTAL", right: true }, { title: "SPEED", right: true }, { title: "ADDRESS" }];

export async function run(call: Invocation): Promise<number> {
  const nodes = await new DaemonClient(nodePaths()).nodes();
  if (call.json) printJson(nodes);
  else print(nodesTable(nodes, call.switches.has("verbose")));
  return DONE;
}

/** A node that is down has no figures of now. */
export function nodesTable(nodes: readonly NodeRow[], verbose: boolean): string {
  const rows = nodes.map((n) => {
    const up = n.state === "up";
    const num = (text: string): string => (up ? text : "-");
    const brief = [
      String(n.id),
      printable(n.name),
      n.state,
      num(String(Math.round(n.cpus * 100) / 100)),
      num(n.load.toFixed(2)),
      num(humanBytes(n.memFree)),
      num(String(n.guests)),
      num(String(n.away)),
    ];
    const more = verbose ? [num(humanBytes(n.memTotal)), num(String(n.speed)), printable(n.address)] : [];
    return [...brief, ...more, n.flags.map(printable).join(",")];
  });
  return textTable(rows, [...(verbose ? VERBOSE : BRIEF), FLAGS]);
}
