import { memory, ptrace, Reg, type Regs } from "../sys/mod.ts";

/** Restartable sequences (rseq(2), include/uapi/linux/rseq.h). */
export type RseqConfiguration = ptrace.RseqConfiguration;

/** Offset of rseq_cs in struct rseq, and of the fields of struct rseq_cs. */
const RSEQ_CS = 8n;
const CS_BYTES = 32;

/**
 * A thread frozen inside a critical section must go on at its abort handler, as after any preemption. The kernel would
 * see to it on the way back to the section, but the thread goes on elsewhere, so it is done here.
 */
export function leaveCriticalSection(tid: number, config: RseqConfiguration, regs: Regs): void {
  if (config.pointer === 0n) return;
  const word = Buffer.alloc(8);
  if (memory.readUpTo(tid, config.pointer + RSEQ_CS, word) !== 8) return;
  const at = word.readBigUInt64LE(0);
  if (at === 0n) return;
  const cs = Buffer.alloc(CS_BYTES);
  if (memory.readUpTo(tid, at, cs) !== CS_BYTES) return;
  const start = cs.readBigUInt64LE(8);
  const length = cs.readBigUInt64LE(16);
  const rip = regs.get(Reg.rip);
  if (rip >= start && rip - start < length) regs.set(Reg.rip, cs.readBigUInt64LE(24));
  memory.writeUpTo(tid, config.pointer + RSEQ_CS, Buffer.alloc(8));
}

export function readRseq(tid: number): RseqConfiguration | null {
  const config = ptrace.getRseq(tid);
  return config.pointer === 0n ? null : config;
}
