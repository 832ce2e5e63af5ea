/** Branded identifiers: a number that names a node cannot be passed where a PID is wanted. */
declare const brand: unique symbol;
type Brand<T, B extends string> = T & { readonly [brand]: B };

/** A node's number, 1 to 65535, kept for life. */
export type NodeId = Brand<number, "NodeId">;
/** A process id as its own node counts it. */
export type Pid = Brand<number, "Pid">;
/** A thread id as its own node counts it. */
export type Tid = Brand<number, "Tid">;
/** A cluster PID, `home:pid`, as people and scripts write it. */
export type Cpid = Brand<string, "Cpid">;
/** A user-space address in another process. */
export type Addr = Brand<bigint, "Addr">;

export const MAX_NODE_ID = 65535;
/** Linux's own ceiling of PIDs (include/linux/threads.h, PID_MAX_LIMIT). */
export const MAX_PID = 1 << 22;

export function nodeId(n: number): NodeId {
  if (!Number.isInteger(n) || n < 1 || n > MAX_NODE_ID) throw new RangeError(`node number ${n}: want 1 to ${MAX_NODE_ID}`);
  return n as NodeId;
}

export function pid(n: number): Pid {
  if (!Number.isInteger(n) || n < 1 || n > MAX_PID) throw new RangeError(`PID ${n}: want 1 to ${MAX_PID}`);
  return n as Pid;
}

export const tid = (n: number): Tid => pid(n) as number as Tid;
export const cpid = (home: NodeId, p: Pid): Cpid => `${home}:${p}` as Cpid;
export const addr = (n: bigint): Addr => n as Addr;

/**
 * Reads `4711` (a PID of this node) or `1:4711` (a cluster PID).
 * @throws RangeError when the text is neither.
 */
export function parseCpid(text: string): { home: NodeId | null; pid: Pid } {
  const m = /^(?:(\d{1,5}):)?(\d{1,7})$/.exec(text);
  if (!m) throw new RangeError(`PID '${text}': want a number, as 4711, or a cluster PID, as 1:4711`);
  return { home: m[1] === undefined ? null : nodeId(Number(m[1])), pid: pid(Number(m[2])) };
}
