import { TeselaError } from "../base/mod.ts";
import type { Image } from "../image/mod.ts";
import type { Tracees } from "../sys/mod.ts";
import type { Head, Message } from "../wire/mod.ts";
import type { Sink } from "./carry.ts";
import { caughtUp, notBefore, type Shift } from "./clocks.ts";
import type { FileCache } from "./file-cache.ts";
import { GuestBuild } from "./guest-build.ts";
import type { GroupMemory } from "./group-memory.ts";
import type { NodeFacts } from "./node-facts.ts";
import type { Zygote } from "./zygote.ts";

interface Parts {
  readonly tracees: Tracees;
  readonly zygote: Zygote;
  readonly cache: FileCache;
  readonly facts: NodeFacts;
}

/** A guest being put together from what comes over a connection. */
export class GuestSink implements Sink, Disposable {
  private readonly parts: Parts;
  private readonly offered: Head<"offer">;
  private readonly shift: Promise<Shift | null>;
  private readonly memory: GroupMemory | null;
  private expected: Disposable | null;
  private build: GuestBuild | null = null;

  constructor(parts: Parts, offered: Head<"offer">, shift: Promise<Shift | null>, memory: GroupMemory | null) {
    this.memory = memory;
    this.expected = memory?.expect() ?? null;
    this.parts = parts;
    this.offered = offered;
    this.shift = shift;
    // Asked for while the process is on its way: nobody may come to wait for it.
    shift.catch(() => undefined);
  }
  async prepare(image: Image, huge: readonly { start: bigint; end: bigint }[]): Promise<readonly { start: bigint; end: bigint }[]> {
    const measured = await this.shift;
    if (measured === null) await caughtUp(image.clocks);
    const { boot, cpu, portable = false } = this.offered;
    // Those that came with it live in one namespace, with the clocks of the first one, which left when this one did.
    const shift = this.memory?.place ? this.memory.place.shift : measured && notBefore(measured, image.clocks);
    const origin = { clockName: boot, shift, cpu, portable };
    const { tracees, zygote, cache, facts } = this.parts;
    this.build = GuestBuild.start(tracees, zygote, cache, { image, huge, origin, memory: this.memory, vdso: facts.vdso });
    return [];
  }
  /** Of the memory that its group shares. @throws TeselaError E_PROTOCOL */
  share({ head, payload }: Extract<Message, { type: "shared" }>): void {
    if (!this.memory) throw new TeselaError("E_PROTOCOL", "a process that comes alone brings shared memory");
    this.memory.write(head, head.at, payload);
  }
  write(chunk: Parameters<Sink["write"]>[0]): void {
    this.build?.write(chunk);
  }
  async finish(): Promise<void> {
    this.build?.finish();
  }
  /** Hands the finished guest over. */
  release(): GuestBuild {
    const { build } = this;
    this.build = null;
    if (!build) throw new TeselaError("E_INTERNAL", "nothing was built");
    return build;
  }
  [Symbol.dispose](): void {
    this.build?.kill();
    this.expected?.[Symbol.dispose]();
    this.expected = null;
  }
}
