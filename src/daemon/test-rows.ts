import type { EngineRow } from "./shapes.ts";

/** A row for tests: of a process of node 1 that runs on node 2, with what matters put in. */
export const aRow = (over: Partial<EngineRow> = {}): EngineRow => ({
  pid: 7,
  cpid: "1:7",
  home: 1,
  node: 2,
  nmigs: 1,
  state: "S",
  cpu: 0,
  rss: 4096,
  user: "ann",
  lock: false,
  cantmove: [],
  command: "bc -l",
  role: "home",
  ...over,
});
