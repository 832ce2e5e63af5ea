export * from "./error.ts";
export { ExecPoll, POLL_MS } from "./exec-poll.ts";
export * from "./exec-watch.ts";
export * from "./fanotify.ts";
export * from "./fd.ts";
export { giveBackMemory } from "./footprint.unsafe.ts";
export * as libc from "./libc.unsafe.ts";
export * as memory from "./memory.unsafe.ts";
export { answerSoon } from "./priority.ts";
export * as proc from "./proc.ts";
export * as ptrace from "./ptrace.unsafe.ts";
export * from "./regs.ts";
export { peek } from "./sockets.unsafe.ts";
export * from "./tracees.ts";
export { askRandomParams } from "./vdso.unsafe.ts";
export * from "./wait-status.ts";

/** [soft, hard] of a resource limit (getrlimit(2)); 2^64-1 is none. */
export type RawLimit = readonly [bigint, bigint];
export { addressOf as addressOfBytes } from "./libc.unsafe.ts";
export * from "./peercred.unsafe.ts";
