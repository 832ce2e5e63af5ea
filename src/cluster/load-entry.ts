/** What a node tells of itself each second, and what a row of `tesela nodes` says of it: append fields, never rename one. */
export interface LoadEntry {
  /** CPUs it may use, by affinity and quota: 1.5 is possible. */
  readonly cpus: number;
  /** Those of `cpus` that its tasks get, where others use the same CPUs or a hypervisor takes them away; missing where that is not told. */
  readonly got?: number | undefined;
  /** 10000 is the standard processor. */
  readonly speed: number;
  /** Runnable tasks for each standard processor, as told. */
  readonly load: number;
  /** Bytes. */
  readonly memTotal: number;
  /** Bytes that programs could still get without swapping; what is on its way there is taken off. */
  readonly memFree: number;
  /** Bytes a second by which that shrinks; missing where it is not told. */
  readonly memGrowth?: number | undefined;
  /** Processes of others that run there. */
  readonly guests: number;
  /** Its own processes that run elsewhere. */
  readonly away: number;
  /** By gossip words of LOAD_FLAGS; others are not passed on. */
  readonly flags: readonly string[];
  /** CPU features that glibc chooses by, as bits in the order of GLIBC_FEATURES; missing where they are not known. */
  readonly cpu?: number | undefined;
  /** Part of its CPUs that was in use at its last sample, 0 to 1: told by gossip alone. */
  readonly util?: number | undefined;
  /** The part of `load` that is its owner's own work: what does not move by itself. */
  readonly own?: number | undefined;
}

/** Words that travel as bits, in this order: append only. */
export const LOAD_FLAGS = ["noengine", "stay", "lstay", "block", "quiet", "expel", "bring", "nomfs", "owner", "noload", "nolevel"] as const;

/**
 * An entry as bytes, big endian: f32 cpus, f32 load, u32 speed, u48 memTotal, u48 memFree, u16 guests, u16 away, u16 flags, u32 cpu, u8 known
 * (1: cpu, 2: util, 4: own, 8: got, 16: memGrowth), u8 util in 1/255, f32 own, f32 got, u32 memGrowth.
 */
export const ENTRY_BYTES = 48;
const KNOWN = { cpu: 1, util: 2, own: 4, got: 8, memGrowth: 16 } as const;
const MAX_U48 = 2 ** 48 - 1;
const MAX_U32 = 2 ** 32 - 1;

const clamp = (n: number, most: number): number => Math.min(most, Math.max(0, Math.round(n) || 0));
/** Three decimals survive in a float of 32 bits, up to some thousands. */
const thousandths = (n: number): number => Math.round(n * 1000) / 1000;

export function writeEntry(to: Buffer, at: number, e: LoadEntry): void {
  to.writeFloatBE(e.cpus, at);
  to.writeFloatBE(e.load, at + 4);
  to.writeUInt32BE(clamp(e.speed, MAX_U32), at + 8);
  to.writeUIntBE(clamp(e.memTotal, MAX_U48), at + 12, 6);
  to.writeUIntBE(clamp(e.memFree, MAX_U48), at + 18, 6);
  to.writeUInt16BE(clamp(e.guests, 0xffff), at + 24);
  to.writeUInt16BE(clamp(e.away, 0xffff), at + 26);
  to.writeUInt16BE(
    LOAD_FLAGS.reduce((bits, word, i) => bits | (e.flags.includes(word) ? 1 << i : 0), 0),
    at + 28,
  );
  to.writeUInt32BE((e.cpu ?? 0) >>> 0, at + 30);
  to[at + 34] = (["cpu", "util", "own", "got", "memGrowth"] as const).reduce(
    (bits, name) => bits | (e[name] === undefined ? 0 : KNOWN[name]),
    0,
  );
  to[at + 35] = clamp((e.util ?? 0) * 255, 255);
  to.writeFloatBE(e.own ?? 0, at + 36);
  to.writeFloatBE(e.got ?? 0, at + 40);
  to.writeUInt32BE(clamp(e.memGrowth ?? 0, MAX_U32), at + 44);
}

/** Null for numbers that make no sense. */
export function readEntry(from: Buffer, at: number): LoadEntry | null {
  const [cpus, load] = [thousandths(from.readFloatBE(at)), thousandths(from.readFloatBE(at + 4))];
  const own = thousandths(from.readFloatBE(at + 36));
  const got = thousandths(from.readFloatBE(at + 40));
  if (![cpus, load, own, got].every((n) => Number.isFinite(n) && n >= 0)) return null;
  const bits = from.readUInt16BE(at + 28);
  const known = from[at + 34] ?? 0;
  return {
    cpus,
    speed: from.readUInt32BE(at + 8),
    load,
    memTotal: from.readUIntBE(at + 12, 6),
    memFree: from.readUIntBE(at + 18, 6),
    guests: from.readUInt16BE(at + 24),
    away: from.readUInt16BE(at + 26),
    flags: LOAD_FLAGS.filter((_, i) => (bits & (1 << i)) !== 0),
    ...((known & KNOWN.cpu) !== 0 && { cpu: from.readUInt32BE(at + 30) }),
    ...((known & KNOWN.util) !== 0 && { util: (from[at + 35] ?? 0) / 255 }),
    ...((known & KNOWN.own) !== 0 && { own }),
    ...((known & KNOWN.got) !== 0 && { got }),
    ...((known & KNOWN.memGrowth) !== 0 && { memGrowth: from.readUInt32BE(at + 44) }),
  };
}
