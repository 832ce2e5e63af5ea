import { TeselaError } from "../base/mod.ts";
import type { Clock } from "./clock.ts";
import { type Datagrams, type Endpoint, MAX_DATAGRAM } from "./datagrams.ts";
import type { Random } from "./random.ts";

/** What the network does to datagrams. Each is drawn anew for each of them. */
export interface Weather {
  /** Shortest and longest time on the way, in milliseconds: those in between overtake one another. */
  readonly delayMs: readonly [least: number, most: number];
  /** Chance of being lost, 0 to 1. */
  readonly loss: number;
  /** Chance of coming twice. */
  readonly duplicate: number;
  /** Chance of being held back on the way, and how long at most. */
  readonly late: number;
  readonly lateMs: number;
}

export const CLEAR: Weather = { delayMs: [0.2, 1], loss: 0, duplicate: 0, late: 0, lateMs: 500 };

export interface DatagramCounts {
  sent: number;
  bytes: number;
  /** The longest that was sent. */
  longest: number;
}

/** A network in memory for datagrams. With a VirtualClock and a SeededRandom the same seed gives the same run. */
export class DatagramNetwork {
  private readonly clock: Clock;
  private readonly random: Random;
  private readonly ends = new Map<string, MemoryDatagrams>();
  private readonly islands = new Map<string, number>();
  private ports = 1024;
  weather: Weather;
  /** What all ends have sent so far, lost ones included. */
  readonly total: DatagramCounts = { sent: 0, bytes: 0, longest: 0 };

  constructor(options: { clock: Clock; random: Random; weather?: Partial<Weather> }) {
    this.clock = options.clock;
    this.random = options.random;
    this.weather = { ...CLEAR, ...options.weather };
  }

  /** @throws TeselaError E_CONFIG when the place is taken */
  open({ address, port }: Endpoint): MemoryDatagrams {
    const at = { address, port: port || ++this.ports };
    if (this.ends.has(keyOf(at))) throw new TeselaError("E_CONFIG", `cannot take datagrams on ${keyOf(at)}: it is in use`);
    const end = new MemoryDatagrams(this, at);
    this.ends.set(keyOf(at), end);
    return end;
  }

  /** From now on these addresses reach one another, and nobody else does them, until `heal`. */
  isolate(addresses: readonly string[]): void {
    const island = Math.max(0, ...this.islands.values()) + 1;
    for (const address of addresses) this.islands.set(address, island);
  }

  heal(): void {
    this.islands.clear();
  }

  /** @internal */
  carry(from: Endpoint, to: Endpoint, bytes: Uint8Array): void {
    const { total, weather, random } = this;
    total.sent++;
    total.bytes += bytes.length;
    total.longest = Math.max(total.longest, bytes.length);
    const copies = weather.duplicate > 0 && random.float() < weather.duplicate ? 2 : 1;
    for (let i = 0; i < copies; i++) {
      if (weather.loss > 0 && random.float() < weather.loss) continue;
      const [least, most] = weather.delayMs;
      let ms = least + (most - least) * random.float();
      if (weather.late > 0 && random.float() < weather.late) ms += weather.lateMs * random.float();
      // A copy: on a network the receiver never shares the sender's memory.
      const copy = Buffer.from(bytes);
      this.clock.after(ms, () => {
        if (this.islands.get(from.address) === this.islands.get(to.address)) this.ends.get(keyOf(to))?.arrive(copy, from);
      });
    }
  }

  /** @internal */
  closed(at: Endpoint): void {
    this.ends.delete(keyOf(at));
  }
}

/** One end in a DatagramNetwork. */
export class MemoryDatagrams implements Datagrams {
  readonly address: Endpoint;
  private readonly network: DatagramNetwork;
  private handler: ((bytes: Buffer, from: Endpoint) => void) | null = null;
  private open = true;

  constructor(network: DatagramNetwork, address: Endpoint) {
    this.network = network;
    this.address = address;
  }

  send(to: Endpoint, bytes: Uint8Array): void {
    if (this.open && bytes.length <= MAX_DATAGRAM) this.network.carry(this.address, to, bytes);
  }

  onDatagram(handler: (bytes: Buffer, from: Endpoint) => void): void {
    this.handler = handler;
  }

  /** @internal */
  arrive(bytes: Buffer, from: Endpoint): void {
    this.handler?.(bytes, from);
  }

  close(): Promise<void> {
    if (this.open) this.network.closed(this.address);
    this.open = false;
    this.handler = null;
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

const keyOf = ({ address, port }: Endpoint): string => `${address}:${port}`;
