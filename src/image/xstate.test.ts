import assert from "node:assert/strict";
import { test } from "node:test";
import { TeselaError } from "../base/mod.ts";
import { fitXstate, forSigreturn } from "./xstate.ts";

/** An area with these components in use, each filled with its number. */
function area(size: number, supported: bigint, used: readonly (readonly [component: number, offset: number, bytes: number])[]): Buffer {
  const b = Buffer.alloc(size);
  b.fill(0xf7, 0, 464);
  b.writeBigUInt64LE(supported, 464);
  b.writeBigUInt64LE(
    used.reduce((mask, [i]) => mask | (1n << BigInt(i)), 3n),
    512,
  );
  for (const [i, at, bytes] of used) b.fill(i, at, at + bytes);
  return b;
}
const AVX = [2, 576, 256] as const;
const XCR0_AVX512 = 0xe7n;
const intel = (...used: Parameters<typeof area>[2][number][]): Buffer => area(2696, XCR0_AVX512 | 0x200n, used);
const amd = (...used: Parameters<typeof area>[2][number][]): Buffer => area(2440, XCR0_AVX512 | 0x200n, used);
const small = (...used: Parameters<typeof area>[2][number][]): Buffer => area(832, 7n, used);
const named = (e: unknown): boolean => e instanceof TeselaError && (e.details.reasons as string[])[0] === "cpu_state";

test("a state for the same kind of processor stays as it is", () => {
  const state = intel(AVX);
  assert.equal(fitXstate(state, intel()), state);
});

test("components go where the other processor has them", () => {
  const from = intel(AVX, [5, 1088, 64], [6, 1152, 512], [7, 1664, 1024], [9, 2688, 8]);
  const want = amd(AVX, [5, 832, 64], [6, 896, 512], [7, 1408, 1024], [9, 2432, 8]);
  assert.deepEqual(Buffer.from(fitXstate(from, amd())), want);
  assert.deepEqual(Buffer.from(fitXstate(want, intel())), from);
});

test("a bigger area takes a small state, and gives it back", () => {
  const state = small(AVX);
  const big = fitXstate(state, intel());
  assert.deepEqual(Buffer.from(big), intel(AVX));
  assert.deepEqual(Buffer.from(fitXstate(big, small())), state);
});

test("the kernel's own keys stay when the state has none", () => {
  assert.deepEqual(Buffer.from(fitXstate(small(AVX), intel([9, 2688, 8]))), intel(AVX, [9, 2688, 8]));
});

test("registers in use that have no place are named, not lost", () => {
  assert.throws(() => fitXstate(amd([7, 1408, 1024]), small()), named);
  assert.throws(() => fitXstate(area(2700, 0xe7n, [[7, 1664, 1024]]), amd()), named, "a layout that nobody knows");
  assert.throws(() => fitXstate(Buffer.alloc(575), small()), { code: "E_PROTOCOL" });
});

test("tile data that is not in use is left out for rt_sigreturn, and nothing else is", () => {
  const XCR0_AMX = XCR0_AVX512 | 0x200n | (3n << 17n);
  const amx = (...used: Parameters<typeof area>[2][number][]): Buffer => area(11_008, XCR0_AMX, used);
  const idle = forSigreturn(amx(AVX, [9, 2688, 8], [17, 2752, 64]));
  assert.equal(idle.state.length, 2816);
  assert.equal(idle.features, XCR0_AMX & ~(1n << 18n));
  assert.deepEqual(idle.state, amx(AVX, [9, 2688, 8], [17, 2752, 64]).subarray(0, 2816));
  const tiles = amx(AVX, [18, 2816, 8192]);
  assert.deepEqual(forSigreturn(tiles), { state: tiles, features: XCR0_AMX });
  for (const state of [intel(AVX), amd(), small(AVX)]) assert.equal(forSigreturn(state).state, state);
  const unknown = area(2700, 0xe7n, []);
  assert.equal(forSigreturn(unknown).state, unknown);
});

test("components that are as after a reset need no place", () => {
  // As an emulated processor has them: with the bounds registers that no other has any more, all in use.
  const emulated = area(2696, 0x21fn, [AVX, [3, 960, 64], [4, 1024, 64], [9, 2688, 8]]);
  assert.throws(() => fitXstate(emulated, intel()), named);
  emulated.fill(0, 960, 1088);
  assert.deepEqual(Buffer.from(fitXstate(emulated, intel())), intel(AVX, [9, 2688, 8]));
});
