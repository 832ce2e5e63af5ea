import { GiB, MiB, type NodeId, nodeId } from "../base/mod.ts";
import type { BalanceState, NodeView, ProcessView } from "./views.ts";

/** Views for tests: ordinary ones, with what matters put in. */
export const N1: NodeId = nodeId(1);
export const N2: NodeId = nodeId(2);
export const N3: NodeId = nodeId(3);

export const aNode = (id: NodeId, with_: Partial<NodeView> = {}): NodeView => ({
  id,
  cpus: 1,
  speed: 10_000,
  load: 0,
  memTotal: 4 * GiB,
  memFree: 3 * GiB,
  ageMs: 0,
  accepts: true,
  up: true,
  bandwidth: 100 * MiB,
  rttMs: 0.2,
  ...with_,
});

export const aProcess = (pid: number, with_: Partial<ProcessView> = {}): ProcessView => ({
  pid,
  home: N1,
  cpu: 0.5,
  cpuMs: 10_000,
  rss: 8 * MiB,
  growth: 0,
  calls: 0,
  sinceMoveMs: Number.POSITIVE_INFINITY,
  bounces: 0,
  fixed: [],
  allowed: () => true,
  ...with_,
});

export const aState = (with_: Partial<BalanceState>): BalanceState => ({
  self: aNode(N1, { load: 2 }),
  others: [aNode(N2)],
  processes: [aProcess(11), aProcess(12)],
  nowMs: 100_000,
  lastDepartureMs: 0,
  inFlight: new Set(),
  ...with_,
});
