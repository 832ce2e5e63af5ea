import { Fault, type GuestMemory } from "../types.ts";

interface Region {
  readonly start: bigint;
  readonly bytes: Buffer;
  readonly writable: boolean;
}

const GAP = 0x10000n;

/** A program's memory for tests: regions with nothing between them. */
export class FakeMemory implements GuestMemory {
  private readonly regions: Region[] = [];
  private next = 0x7000_0000_0000n;

  /** New memory; its address. What lies right before and behind it is not mapped. */
  map(content: Uint8Array | number, options: { readonly?: boolean } = {}): bigint {
    const bytes = typeof content === "number" ? Buffer.alloc(content) : Buffer.from(content);
    const start = this.next;
    this.regions.push({ start, bytes, writable: options.readonly !== true });
    this.next = ((start + BigInt(bytes.length) + GAP) / GAP + 1n) * GAP;
    return start;
  }

  /** Bytes that end where mapped memory ends. */
  string(text: string): bigint {
    return this.map(Buffer.from(`${text}\0`));
  }

  private find(address: bigint): { readonly region: Region; readonly offset: number } | null {
    for (const region of this.regions) {
      const offset = address - region.start;
      if (offset >= 0n && offset < BigInt(region.bytes.length)) return { region, offset: Number(offset) };
    }
    return null;
  }

  read(address: bigint, length: number): Buffer {
    const bytes = this.readUpTo(address, length);
    if (bytes.length < length) throw new Fault(address);
    return bytes;
  }

  readUpTo(address: bigint, length: number): Buffer {
    const found = this.find(address);
    return found === null ? Buffer.alloc(0) : Buffer.from(found.region.bytes.subarray(found.offset, found.offset + length));
  }

  write(address: bigint, bytes: Uint8Array): void {
    const found = this.find(address);
    if (found === null || !found.region.writable || found.offset + bytes.length > found.region.bytes.length) throw new Fault(address);
    found.region.bytes.set(bytes, found.offset);
  }
}
