import { EMPTY } from "./forward.ts";
import type { DeputyArea } from "./types.ts";

const ALIGN = 8;
const up = (n: number): number => (n + ALIGN - 1) & ~(ALIGN - 1);

/**
 * Lays arguments out in the deputy's area: first everything that goes in, then the room for what comes out.
 * `full` tells that something did not fit; what was returned meanwhile is then worthless.
 */
export class Layout {
  readonly area: DeputyArea;
  full = false;
  private used = 0;
  private inEnd = 0;
  private readonly parts: { readonly at: number; readonly bytes: Uint8Array }[] = [];

  constructor(area: DeputyArea) {
    this.area = area;
  }

  /** Bytes still free. */
  get left(): number {
    return this.area.size - up(this.used);
  }

  /** Places bytes that go in; its offset. */
  put(bytes: Uint8Array): number {
    const at = this.room(bytes.length);
    if (!this.full) {
      this.parts.push({ at, bytes });
      this.inEnd = this.used;
    }
    return at;
  }

  /** Keeps room for bytes that come out; its offset. */
  room(length: number): number {
    const at = up(this.used);
    if (at + length > this.area.size) this.full = true;
    else this.used = at + length;
    return at;
  }

  address(offset: number): bigint {
    return this.area.base + BigInt(offset);
  }

  putAt(bytes: Uint8Array): bigint {
    return this.address(this.put(bytes));
  }

  blob(): Uint8Array {
    const [first] = this.parts;
    if (first === undefined) return EMPTY;
    if (this.parts.length === 1 && first.at === 0) return first.bytes;
    const all = Buffer.alloc(this.inEnd);
    for (const { at, bytes } of this.parts) all.set(bytes, at);
    return all;
  }
}
