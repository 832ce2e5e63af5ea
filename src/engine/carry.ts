import { closeSync } from "node:fs";
import { type Log, TeselaError } from "../base/mod.ts";
import type { Channel } from "../io/mod.ts";
import {
  CHUNK_BYTES,
  decodeImage,
  encodeImage,
  FrozenPages,
  type Image,
  packRuns,
  type PageChunk,
  type SharedObject,
  unpackRuns,
} from "../image/mod.ts";
import { type Head, type Message, type MessageName, outgoing } from "../wire/mod.ts";
import { type CarriedFile, type Layout, readCarried } from "./capture-home.ts";
import { type Faults, step } from "./faults.ts";
import { piecesOf } from "./shared-content.ts";
import { giveBackSoon } from "./spare-memory.ts";

/** A process on its way: both ends of one bulk connection. The sender keeps it whole until the receiver is ready. */

/** Reads a channel message by message, each awaited by name. */
export class Inbox {
  readonly channel: Channel;
  private readonly queue: Message[] = [];
  private wake: (() => void) | null = null;
  private ended: Error | null = null;

  constructor(channel: Channel) {
    this.channel = channel;
    channel.onMessage((m) => {
      this.queue.push(m);
      if (this.queue.length > INBOX_HIGH) channel.pause();
      this.wake?.();
    });
    void channel.closed.then((reason) => {
      this.ended = reason ?? new TeselaError("E_LINK", "the peer closed the connection");
      this.wake?.();
      giveBackSoon();
    });
  }

  /** Nothing will come any more. */
  get over(): boolean {
    return this.ended !== null;
  }

  /** Whether another message comes within this time: false also when the peer has closed the connection. */
  async more(withinMs: number): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, withinMs).unref();
    this.wake = resolve;
    if (this.queue.length === 0 && !this.ended) await promise;
    this.wake = null;
    clearTimeout(timer);
    return this.queue.length > 0;
  }

  /** Waits for another message, time and again so long while this holds. @throws TeselaError E_TIMEOUT */
  async any(what: string, stepMs: number, holds: () => boolean): Promise<void> {
    while (!(await this.more(stepMs)) && !this.ended) if (!holds()) throw this.late(what, stepMs);
  }

  /** @throws what the peer reported, E_LINK, E_TIMEOUT, E_PROTOCOL for another message than these */
  async next<K extends MessageName>(what: string, timeoutMs: number, ...types: readonly K[]): Promise<Extract<Message, { type: K }>> {
    const deadline = Date.now() + timeoutMs;
    while (this.queue.length === 0) {
      if (this.ended) throw this.ended;
      const left = deadline - Date.now();
      if (left <= 0) throw this.late(what, timeoutMs);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.wake = null;
    }
    const m = this.queue.shift() as Message;
    if (this.queue.length < INBOX_LOW) this.channel.resume();
    if (m.type === "error") throw TeselaError.from({ ...(m.head.details as object), error: m.head.error, message: m.head.message });
    if (!(types as readonly string[]).includes(m.type))
      throw new TeselaError("E_PROTOCOL", `'${m.type}' came where ${types.join(" or ")} belongs`);
    return m as Extract<Message, { type: K }>;
  }

  private late(what: string, ms: number): TeselaError {
    return new TeselaError("E_TIMEOUT", `node ${this.channel.peer.node} gave no answer for ${ms} ms (${what})`);
  }
}
const INBOX_HIGH = 8;
const INBOX_LOW = 4;

/** What is carried, and how to read it where it is now. */
export interface Source {
  /** The task whose memory and mapped files are read. */
  readonly task: number;
  readonly offer: Head<"offer">;
  readonly files: Map<string, CarriedFile>;
}

export interface FrozenSource {
  readonly image: Image;
  readonly layout: Layout;
  /** Shared memory that is sent with this one of a group. */
  readonly objects?: readonly OpenObject[];
}

export interface CarryOptions {
  readonly stepMs: number;
  /** What a program waits for from another engine comes within this, for as long as the link lives: longer than a cut one is waited for. */
  readonly answerMs: number;
  readonly faults: Faults;
  readonly log: Log;
}

/** Before the freeze: asks whether the node takes the process and sends it the files it lacks. */
export async function offer(inbox: Inbox, source: Source, o: CarryOptions): Promise<number> {
  const { channel } = inbox;
  await step(o.faults, "offer");
  channel.send("offer", source.offer);
  const want = await inbox.next("the offer", o.stepMs, "want");
  await step(o.faults, "files");
  const { files } = source;
  return sendFiles(channel, want.head.hashes, files, o, (hash) => files.delete(hash));
}

/** `gone` is told of a file that the process has unmapped meanwhile, which only one that runs can do. */
async function sendFiles(
  channel: Channel,
  hashes: readonly string[],
  files: ReadonlyMap<string, CarriedFile>,
  o: CarryOptions,
  gone: (hash: string) => void,
): Promise<number> {
  let bytes = 0;
  for (const hash of hashes) {
    const file = files.get(hash);
    if (!file) throw new TeselaError("E_PROTOCOL", `node ${channel.peer.node} wants a file that was not offered`);
    let fd: number;
    try {
      fd = file.open();
    } catch (e) {
      if ((e as NodeJS.ErrnoException).code !== "ENOENT") throw e;
      gone(hash);
      continue;
    }
    let sent = 0;
    try {
      for (const piece of readCarried(fd, file, CHUNK_BYTES)) {
        sent += piece.length;
        if (!channel.send("file", { hash, size: file.size, last: sent === file.size }, piece)) await drained(channel, o.stepMs);
      }
    } finally {
      closeSync(fd);
    }
    if (file.size === 0) channel.send("file", { hash, size: 0, last: true });
    bytes += sent;
  }
  return bytes;
}

/** The frozen part: image, pages, and the receiver's word that it can go on from there. @returns bytes sent */
export async function sendFrozen(inbox: Inbox, source: Source, frozen: FrozenSource, o: CarryOptions): Promise<number> {
  const { channel } = inbox;
  const known = source.files;
  const late = [...frozen.layout.files].filter(([hash]) => !known.has(hash));
  // A library mapped between the offer and the freeze.
  await sendFiles(
    channel,
    late.map(([hash]) => hash),
    frozen.layout.files,
    o,
    (hash) => {
      throw new TeselaError("E_GONE", `a mapped file cannot be read (${hash})`);
    },
  );
  let sent = await sendShared(channel, frozen.objects ?? [], o);
  const pages = new FrozenPages(source.task, frozen.image.vmas);
  await step(o.faults, "image");
  channel.send("image", { huge: pages.hugeRanges().slice(0, MAX_HUGE) }, encodeImage(frozen.image));
  const full = await inbox.next("the image", o.stepMs, "full");
  await step(o.faults, "pages");
  const buffers = new SendBuffers();
  const send = async (chunk: PageChunk): Promise<void> => {
    if (chunk.runs.length === 0) {
      buffers.giveBack();
      return;
    }
    sent += chunk.data.length;
    if (channel.send("pages", { runs: chunk.runs.length }, packRuns(chunk.runs), chunk.data) && !buffers.full) return;
    await drained(channel, o.stepMs);
    buffers.reuse();
  };
  const room = (bytes: number): Buffer => buffers.take(bytes);
  for (const chunk of FrozenPages.whole(source.task, full.head.ranges, room)) await send(chunk);
  for (const chunk of pages.chunks(room)) await send(chunk);
  channel.send("end", { pages: sent });
  await step(o.faults, "end");
  await inbox.next("the pages", o.stepMs, "ready");
  buffers.leave();
  return sent;
}
const MAX_HUGE = 1024;

export type OpenObject = SharedObject & { readonly fd: number };

/** What shared memory holds. @returns bytes sent */
export async function sendShared(channel: Channel, objects: readonly OpenObject[], { stepMs }: CarryOptions): Promise<number> {
  let sent = 0;
  for (const { name, size, fd } of objects) {
    for (const { at, bytes } of piecesOf(fd, size, CHUNK_BYTES)) {
      sent += bytes.length;
      if (!channel.send("shared", { name, size, at }, bytes)) await drained(channel, stepMs);
    }
  }
  return sent;
}

/**
 * Room for the chunks on their way, used again once they have left: fresh memory costs more than what is done with it. Small ones lie one
 * behind the other, as a program of forty areas has forty chunks of some pages.
 */
export class SendBuffers {
  private readonly buffers: Buffer[] = [];
  private used = 0;
  /** Bytes of the last one that are taken, and by the chunk that was taken last. */
  private filled = 0;
  private last = 0;

  get full(): boolean {
    return this.used >= SEND_BUFFERS;
  }
  take(bytes: number): Buffer {
    if (this.used === 0 || this.filled + bytes > CHUNK_BYTES) {
      if (this.used === this.buffers.length) this.buffers.push(outgoing.take(CHUNK_BYTES));
      this.used++;
      this.filled = 0;
    }
    const start = this.filled;
    this.filled += bytes;
    this.last = bytes;
    return (this.buffers[this.used - 1] as Buffer).subarray(start, this.filled);
  }
  /** The one that was taken last is not sent. */
  giveBack(): void {
    this.filled -= this.last;
    this.last = 0;
  }
  /** All has left. */
  reuse(): void {
    this.used = 0;
  }
  /** All has arrived: the next process may have them. */
  leave(): void {
    for (const buffer of this.buffers.splice(0)) outgoing.release(buffer);
    this.used = 0;
  }
}
const SEND_BUFFERS = 8;

async function drained(channel: Channel, stepMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const guard = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new TeselaError("E_TIMEOUT", `node ${channel.peer.node} took nothing for ${stepMs} ms`)), stepMs);
  });
  try {
    await Promise.race([channel.drained(), guard]);
  } finally {
    clearTimeout(timer);
  }
}

/** Where a process is put together: a skeleton on a host, or the deputy at home. */
export interface Sink {
  /** Makes room for the image. @returns the areas whose clean pages are needed too */
  prepare(image: Image, huge: readonly { start: bigint; end: bigint }[]): Promise<readonly { start: bigint; end: bigint }[]>;
  write(chunk: PageChunk): void;
  /** All pages are in. */
  finish(): Promise<void>;
}

/**
 * The receiving end of {@link sendFrozen}. `onContent` takes what comes before the image: files, and memory that a group shares.
 * @param holds whether to wait on for that, since others may have to be stopped first
 */
export async function receiveFrozen(
  inbox: Inbox,
  sink: Sink,
  o: CarryOptions,
  onContent: (m: Extract<Message, { type: "file" | "shared" }>) => void,
  holds = (): boolean => false,
): Promise<{ image: Image; bytes: number }> {
  const next = async (): Promise<Extract<Message, { type: "image" | "file" | "shared" }>> => {
    await inbox.any("the process", o.stepMs * PATIENCE, holds);
    return await inbox.next("the process", 0, "image", "file", "shared");
  };
  let first = await next();
  while (first.type !== "image") {
    onContent(first);
    first = await next();
  }
  const image = decodeImage(first.payload);
  const ranges = await sink.prepare(image, first.head.huge);
  inbox.channel.send("full", { ranges });
  let bytes = 0;
  for (;;) {
    const m = await inbox.next("pages", o.stepMs, "pages", "end");
    if (m.type === "end") break;
    const chunk = unpackRuns(m.payload, m.head.runs);
    bytes += chunk.data.length;
    sink.write(chunk);
    inbox.channel.release(m.payload);
  }
  await sink.finish();
  inbox.channel.send("ready", {});
  return { image, bytes };
}
/** Between two messages the sender may have to freeze a process that is slow to stop. */
const PATIENCE = 2;
