import type { Channel } from "../io/mod.ts";
import { codec, type Data, type Message } from "../wire/mod.ts";
import { type Asks, bigintOf, numberOf, textOf } from "./asks.ts";
import { CallTrace, type TracedCall } from "./call-trace.ts";
import type { FileCache } from "./file-cache.ts";
import type { Guest } from "./guest.ts";
import { childImage } from "./guest-capture.ts";
import type { GuestProcess } from "./guest-process.ts";
import type { Birth, Born, GuestOptions, HomeLink, InFlight, MappedFile, Started, ThreadOptions, Verdict } from "./guest-types.ts";
import { LARGE } from "./guest-memory.ts";
import { aheadBytes, callFrameBytes, packCallFrame, packCallHead } from "./hot-frames.ts";
import { NO_CALL } from "./home-types.ts";
import { IncomingFiles } from "./incoming-files.ts";
import { NO_CPU } from "./tracks.ts";
import type { Zygote } from "./zygote.ts";

const NONE = Buffer.alloc(0);

interface Host {
  /** Whether one more guest may begin here. */
  readonly hasRoom: boolean;
}
interface Parts {
  readonly zygote: Zygote;
  readonly cache: FileCache;
  readonly carry: { readonly answerMs: number };
}

/** Takes a guest in that comes over this link. */
export type Take = (options: Omit<GuestOptions, "link" | "register" | "unregister">, leader: ThreadOptions) => GuestProcess;

/** A guest's way home over one link. */
export class GuestLink implements HomeLink {
  readonly channel: Channel;
  readonly files: IncomingFiles;
  readonly guests = new Set<GuestProcess>();
  heard = 0;
  private readonly asks: Asks;
  private readonly parts: Parts;

  private readonly fetching = new Map<string, Promise<Data>>();
  private readonly take: Take;

  private readonly host: Host;

  constructor(channel: Channel, asks: Asks, parts: Parts, host: Host, take: Take) {
    this.host = host;
    this.take = take;
    this.channel = channel;
    this.asks = asks;
    this.parts = parts;
    this.files = new IncomingFiles(parts.cache);
  }

  get hasRoom(): boolean {
    return this.host.hasRoom;
  }

  /** What is said to no guest alone, though it may well be about one. */
  hear(m: Extract<Message, { type: "ask" | "answer" | "file" }>): void {
    this.heard++;
    if (m.type === "ask") this.asks.onAsk(m.head);
    else if (m.type === "answer") this.asks.onAnswer(m.head);
    else this.files.take(m);
  }

  /** Home wants to be told of its calls, or does no more. */
  watch(guest: GuestProcess, on: boolean): void {
    const tell = (calls: readonly TracedCall[], lost: number): Promise<Data> =>
      this.asks.ask("traced", { ticket: guest.ticket, lost, calls: calls.map((c) => ({ ...c })) }, this.parts.carry.answerMs);
    guest.watch(on ? () => new CallTrace(guest.memory, tell) : null);
  }

  call(guest: Guest, { seq, plan, continues, handlerWaits, question }: InFlight, sigmask: bigint): void {
    guest.trace?.flew(seq);
    const { outs, blob } = plan;
    const ahead = blob.length < LARGE ? (question?.bytes ?? NONE) : NONE;
    const call = { ticket: guest.ticket, seq, sigmask, outs, blob, ahead, continues, hurried: handlerWaits };
    if (blob.length >= LARGE) {
      const head = Buffer.allocUnsafe(callFrameBytes(outs.length, 0));
      packCallHead(call, plan.nr, plan.args, head);
      this.channel.send("call", null, head, blob);
      return;
    }
    const length = callFrameBytes(outs.length, blob.length + aheadBytes(ahead));
    const frame = codec.alloc("call", null, length);
    packCallFrame(call, plan.nr, plan.args, frame.subarray(frame.length - length));
    this.channel.sendFrame(frame);
  }
  verdict(guest: Guest, seq: number, verdict: Verdict): void {
    this.channel.send("verdict", { ticket: guest.ticket, seq, verdict });
  }
  raise(guest: Guest, signal: number, info: Uint8Array): void {
    this.channel.send("raise", { ticket: guest.ticket, signal }, info);
  }
  back(guest: Guest, reason: string, nr = NO_CALL): void {
    this.channel.send("back", { ticket: guest.ticket, reason: reason.slice(0, 64), nr });
  }
  exit(guest: Guest, code: number): void {
    guest.trace?.close();
    this.channel.send("exit", { ticket: guest.ticket, code });
  }
  lost(guest: Guest, reason: string): void {
    this.channel.send("lost", { ticket: guest.ticket, reason });
  }
  letIn(guest: Guest, mask: bigint, back: readonly Uint8Array[]): Promise<Data> {
    return this.asks.ask("letIn", { ticket: guest.ticket, mask, back: [...back] }, null);
  }
  stay(guest: Guest, info: Uint8Array): void {
    this.asks.ask("stay", { ticket: guest.ticket, back: [info] }, null).catch((e: unknown) => {
      guest.log.warn("a signal was lost", { pid: guest.pid, error: String(e) });
    });
  }
  hurry(guest: Guest): void {
    this.channel.send("hurry", { ticket: guest.ticket });
  }

  async mapFile(guest: Guest, args: readonly bigint[]): Promise<MappedFile> {
    const { cache, zygote } = this.parts;
    const answer = (await this.asks.ask("mapFile", { ticket: guest.ticket, args: [...args] }, null)) as Record<string, Data>;
    if (typeof answer.errno === "number") return { kind: "errno", errno: answer.errno };
    if (typeof answer.reason === "string") return { kind: "back", reason: answer.reason };
    const hash = textOf(answer, "hash");
    if (!cache.has(hash)) await this.fetch(guest, hash, args[4] ?? 0n);
    if (!cache.has(hash)) return { kind: "back", reason: "file_changed" };
    return { kind: "file", send: () => zygote.send([cache.fd(hash)]) };
  }

  /** Several guests may want the same file at once: it comes once. Should that fail with the one that asked, each of them tries again. */
  private fetch(guest: Guest, hash: string, fd: bigint): Promise<Data> {
    let coming = this.fetching.get(hash);
    if (!coming) {
      const { answerMs } = this.parts.carry;
      coming = this.asks.ask("sendFile", { ticket: guest.ticket, fd }, answerMs).finally(() => {
        this.fetching.delete(hash);
        this.files.abandon(hash);
      });
      this.fetching.set(hash, coming);
    }
    return coming;
  }

  async fork(guest: Guest, wanted: { flags: bigint; exitSignal: number }): Promise<Born | { errno: number }> {
    const answer = (await this.asks.ask("fork", { ticket: guest.ticket, ...wanted }, null)) as Record<string, Data>;
    if (typeof answer.errno === "number") return { errno: answer.errno };
    return { pid: numberOf(answer, "pid"), ticket: numberOf(answer, "ticket") };
  }
  async thread(guest: Guest, flags: bigint): Promise<Started | { errno: number }> {
    const answer = (await this.asks.ask("thread", { ticket: guest.ticket, flags }, null)) as Record<string, Data>;
    if (typeof answer.errno === "number") return { errno: answer.errno };
    const [area, fd] = [bigintOf(answer.area), numberOf(answer, "fd")];
    return { pid: numberOf(answer, "pid"), ticket: numberOf(answer, "ticket"), area, fd };
  }
  leave(guest: Guest, code: number): Promise<Data> {
    return this.asks.ask("leave", { ticket: guest.ticket, code }, null);
  }
  adopt(parent: Guest, birth: Birth): Guest {
    const { options } = parent.process;
    options.space.join();
    options.memory?.join();
    const { ticket, tid, pid, clearTid } = birth;
    const reservedFds = parent.process.reservedFds;
    const child = this.take(
      { ...options, ticket, image: childImage(parent, birth), reservedFds, trapPending: false, round: -1 },
      {
        ticket,
        tid,
        homeTid: pid,
        areaBase: parent.area.base,
        clearTid,
        restart: null,
        written: null,
        waitEnd: null,
        position: null,
        borne: 0n,
        cpuUsed: NO_CPU.all,
      },
    );
    return child.leader;
  }
  async born(child: Guest): Promise<void> {
    await this.asks.ask("born", { ticket: child.ticket }, null);
  }
  async stillborn(parent: Guest, ticket: number): Promise<void> {
    await this.asks.ask("stillborn", { ticket: parent.ticket, child: ticket }, null);
  }

  async mirror(guest: Guest, nr: number, args: readonly bigint[]): Promise<bigint> {
    return bigintOf(await this.asks.ask("mirror", { ticket: guest.ticket, nr, args: args.map((a) => BigInt.asUintN(64, a)) }, null));
  }
}
