/** Byte sizes and page arithmetic. */
export const KiB = 1024;
export const MiB = 1024 * KiB;
export const GiB = 1024 * MiB;

/** x86-64 base page, and the huge page that THP uses. */
export const PAGE = 4096;
export const PAGE_N = 4096n;
export const HUGE_PAGE = 2 * MiB;

export const pageDown = (a: bigint): bigint => a & ~(PAGE_N - 1n);
export const pageUp = (a: bigint): bigint => (a + PAGE_N - 1n) & ~(PAGE_N - 1n);
export const alignUp = (n: number, to: number): number => Math.ceil(n / to) * to;

/** "4.0 MiB": for people, never for scripts. */
export function humanBytes(n: number): string {
  if (n >= GiB) return `${(n / GiB).toFixed(1)} GiB`;
  if (n >= MiB) return `${(n / MiB).toFixed(1)} MiB`;
  if (n >= KiB) return `${(n / KiB).toFixed(1)} KiB`;
  return `${n} B`;
}

/** Math.min and Math.max do not take bigints. */
export const least = (a: bigint, b: bigint): bigint => (a < b ? a : b);
export const most = (a: bigint, b: bigint): bigint => (a > b ? a : b);
