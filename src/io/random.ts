import { randomBytes, randomInt } from "node:crypto";
import { assert } from "../base/mod.ts";

/** Chance, as policies see it: the system's in daemons, a seed's in the simulator and in tests. */
export interface Random {
  /** An integer in [0, bound), bound 1 to 2^32. */
  int(bound: number): number;
  /** A double in [0, 1). */
  float(): number;
  bytes(n: number): Buffer;
}

const TWO32 = 2 ** 32;

export const systemRandom: Random = {
  int: (bound) => randomInt(bound),
  float: () => randomInt(TWO32) / TWO32,
  bytes: (n) => randomBytes(n),
};

/** sfc32 (Chris Doty-Humphrey's small fast chaotic generator): the same seed, the same sequence. Never for secrets. */
export class SeededRandom implements Random {
  private a: number;
  private b: number;
  private c = 0x9e3779b9;
  private counter = 1;

  constructor(seed: number | bigint) {
    const s = BigInt.asUintN(64, BigInt(seed));
    this.a = Number(s & 0xffff_ffffn);
    this.b = Number(s >> 32n);
    for (let i = 0; i < 16; i++) this.next();
  }

  private next(): number {
    const t = (this.a + this.b + this.counter++) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = (((this.c << 21) | (this.c >>> 11)) + t) | 0;
    return t >>> 0;
  }

  int(bound: number): number {
    assert(Number.isInteger(bound) && bound >= 1 && bound <= TWO32, `a random integer below ${bound}`);
    // Values above the last whole multiple of the bound would favour the small results.
    const limit = TWO32 - (TWO32 % bound);
    for (;;) {
      const n = this.next();
      if (n < limit) return n % bound;
    }
  }
  float(): number {
    return this.next() / TWO32;
  }
  bytes(n: number): Buffer {
    const out = Buffer.alloc(n);
    for (let i = 0; i < n; i++) out[i] = this.next() & 0xff;
    return out;
  }
}

/** One of these, each as likely as the others. */
export function pick<T>(random: Random, items: readonly T[]): T {
  assert(items.length > 0, "pick from nothing");
  return items[random.int(items.length)] as T;
}

/** A copy in random order (Fisher-Yates). */
export function shuffle<T>(random: Random, items: readonly T[]): T[] {
  const out = [...items];
  for (let i = out.length - 1; i > 0; i--) {
    const j = random.int(i + 1);
    [out[i], out[j]] = [out[j] as T, out[i] as T];
  }
  return out;
}
