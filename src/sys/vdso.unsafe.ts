import koffi from "koffi";

/** The C library keeps this process's vdso among its libraries (vdso(7)). */
const NAME = "linux-vdso.so.1";
const ALL_ONES = 0xffff_ffff_ffff_ffffn;

/**
 * What the vdso's getrandom says of the states that programs keep for it, in `bytes` bytes (lib/vdso/getrandom.c): asked for with a length
 * that no state has. @returns null where the vdso has no getrandom
 */
export function askRandomParams(bytes: number): Buffer | null {
  let getrandom: (buffer: null, length: number, flags: number, params: Uint8Array, size: bigint) => number;
  try {
    getrandom = koffi.load(NAME).func("__vdso_getrandom", "long", ["void *", "size_t", "uint", "void *", "size_t"]);
  } catch {
    // A kernel before 6.11.
    return null;
  }
  const params = Buffer.alloc(bytes);
  return getrandom(null, 0, 0, params, ALL_ONES) === 0 ? params : null;
}
