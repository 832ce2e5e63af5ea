import { TeselaError } from "../base/mod.ts";

/**
 * Extended registers as ptrace has them (NT_X86_XSTATE): the XSAVE area in its standard format. Which components it has room for, and
 * where, is the processor's own: CPUID leaf 0xD says so to programs, and the kernel writes the components into bytes that hardware leaves
 * free (struct _fpx_sw_bytes). A state goes to another processor component by component.
 */
type Bytes = Uint8Array;
type Place = readonly [offset: number, bytes: number];

const SUPPORTED_AT = 464; // of the components that the area has room for
const IN_USE_AT = 512; // XSTATE_BV: all others are as after a reset
/** x87 and SSE share the oldest part, whose bytes from 464 on belong to the kernel. */
const LEGACY_BYTES = 464;
const LEGACY = 0b11n;
const HEADER_END = 576;

const AVX: Place = [576, 256];
/** Intel keeps room for MPX also where that is gone; AMD never had it (both: CPUID.0xD, sub-leaves 2 to 18, EBX and EAX). */
const INTEL: Readonly<Record<string, Place>> = {
  2: AVX,
  3: [960, 64],
  4: [1024, 64],
  5: [1088, 64],
  6: [1152, 512],
  7: [1664, 1024],
  9: [2688, 8],
  17: [2752, 64],
  18: [2816, 8192],
};
const AMD: Readonly<Record<string, Place>> = { 2: AVX, 5: [832, 64], 6: [896, 512], 7: [1408, 1024], 9: [2432, 8] };
/** AMD without AVX-512. */
const AMD_SMALL: Readonly<Record<string, Place>> = { 2: AVX, 9: [832, 8] };
const NAMES: Readonly<Record<string, string>> = {
  2: "AVX",
  5: "AVX-512",
  6: "AVX-512",
  7: "AVX-512",
  9: "protection keys",
  17: "AMX",
  18: "AMX",
};

const view = (b: Bytes): DataView => new DataView(b.buffer, b.byteOffset, b.byteLength);
const supported = (b: Bytes): bigint => view(b).getBigUint64(SUPPORTED_AT, true);
const inUse = (b: Bytes): bigint => view(b).getBigUint64(IN_USE_AT, true);
const components = (mask: bigint): number[] =>
  Array.from({ length: 63 }, (_, i) => i).filter((i) => i > 1 && ((mask >> BigInt(i)) & 1n) === 1n);

/** The one of the known layouts that ends where this area does. */
function layoutOf(area: Bytes): Readonly<Record<string, Place>> {
  const all = components(supported(area));
  const fits = (layout: Readonly<Record<string, Place>>): boolean => {
    const end = Math.max(HEADER_END, ...all.map((i) => (layout[i]?.[0] ?? Number.NaN) + (layout[i]?.[1] ?? 0)));
    return end === area.length;
  };
  return [INTEL, AMD, AMD_SMALL].find(fits) ?? {};
}

const TILES = 18n;
/**
 * A state as rt_sigreturn(2) takes it of a task that has not asked for AMX's tile data (arch_prctl(2), ARCH_REQ_XCOMP_PERM): its kernel
 * has no room for them, and takes of a state that has just x87 and SSE (arch/x86/kernel/fpu/signal.c, check_xstate_in_sigframe).
 * ptrace(2) shows them to every task. They come last.
 * @returns the state without them where they are not in use, and the components that it has room for
 */
export function forSigreturn(state: Bytes): { readonly state: Bytes; readonly features: bigint } {
  const features = supported(state);
  const [at] = layoutOf(state)[Number(TILES)] ?? [];
  if (at === undefined || ((features & ~inUse(state)) >> TILES) % 2n === 0n) return { state, features };
  return { state: state.subarray(0, at), features: features & ~(1n << TILES) };
}

/**
 * A state for this processor, from one of another.
 * @param own any state of this processor's
 * @throws TeselaError E_CANTMOVE when it holds what this one has no place for, E_PROTOCOL for what is no state
 */
export function fitXstate(state: Bytes, own: Bytes): Bytes {
  if (state.length < HEADER_END) throw new TeselaError("E_PROTOCOL", `extended registers of ${state.length} bytes`);
  if (state.length === own.length && supported(state) === supported(own)) return state;
  const out = Uint8Array.from(own);
  const theirs = layoutOf(state);
  const ours = layoutOf(own);
  out.set(state.subarray(0, LEGACY_BYTES));
  let used = inUse(state) & LEGACY;
  for (const i of components(inUse(state))) {
    const from = theirs[i];
    const to = ours[i];
    // Some processors say so of all that they have; nothing but zeros is what is there after a reset.
    if (from && state.subarray(from[0], from[0] + from[1]).every((b) => b === 0)) continue;
    if (!from || !to || ((supported(own) >> BigInt(i)) & 1n) === 0n || to[0] + to[1] > out.length) {
      const name = NAMES[i] ?? `component ${i}`;
      throw new TeselaError("E_CANTMOVE", `the process has ${name} registers in use, for which this node has no place`, {
        reasons: ["cpu_state"],
      });
    }
    out.set(state.subarray(from[0], from[0] + from[1]), to[0]);
    used |= 1n << BigInt(i);
  }
  // What a kernel sets for every program, though this one's had no such thing.
  if (((supported(state) >> KEYS) & 1n) === 0n) used |= inUse(own) & (1n << KEYS);
  view(out).setBigUint64(IN_USE_AT, used, true);
  return out;
}
/** Protection keys: the kernel starts programs with all keys but the first closed. */
const KEYS = 9n;
