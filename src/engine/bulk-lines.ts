import { TeselaError, toTeselaError } from "../base/mod.ts";
import { ALPN, BrokenLink, type PeerAddress, type Transport } from "../io/mod.ts";
import { Inbox } from "./carry.ts";
import { giveBackSoon } from "./spare-memory.ts";

/** A host waits longer than that for another process before it closes a connection itself. */
const KEPT_MS = 3000;
/** Of one node. Processes of a shell script come one after the other, those of a make a few at a time. */
const KEPT_LINES = 2;

interface Line {
  readonly inbox: Inbox;
  readonly to: PeerAddress;
  readonly timer: NodeJS.Timeout;
}

/**
 * Connections on which processes have left are used again for the next ones: a TLS handshake of both nodes is a good part of what a
 * small process takes to move, and a program that runs others away moves one with each.
 */
export class BulkLines {
  private readonly transport: Transport;
  private readonly timeoutMs: number;
  private kept: Line[] = [];

  constructor(transport: Transport, timeoutMs: number) {
    this.transport = transport;
    this.timeoutMs = timeoutMs;
  }

  /**
   * Begins to talk about a process, by `first`, which must do no harm when it is done twice: a kept connection may have broken
   * unnoticed, and then it is done again on another. @throws what `first` throws, and TeselaError as `connect`; the connection is closed then
   */
  async begin(to: PeerAddress, first: (inbox: Inbox) => Promise<void>): Promise<Inbox> {
    for (let kept = this.take(to); kept !== null; kept = this.take(to)) {
      try {
        await first(kept);
        return kept;
      } catch (e) {
        kept.channel.close(toTeselaError(e));
        if (!isBroken(e)) throw e;
      }
    }
    const inbox = new Inbox(await this.transport.connect(to, ALPN.BULK, { timeoutMs: this.timeoutMs }));
    try {
      await first(inbox);
      return inbox;
    } catch (e) {
      inbox.channel.close(toTeselaError(e));
      throw e;
    }
  }

  /** The talk is over, in good order: the next one may be on the same connection. */
  keep(inbox: Inbox, to: PeerAddress): void {
    if (inbox.over || this.kept.filter((l) => l.to.node === to.node).length >= KEPT_LINES) {
      inbox.channel.close();
      return;
    }
    const line: Line = { inbox, to, timer: setTimeout(() => this.drop(line), KEPT_MS).unref() };
    this.kept.push(line);
    void inbox.channel.closed.then(() => this.forget(line));
    giveBackSoon();
  }

  /** The newest: the others get old. */
  private take(to: PeerAddress): Inbox | null {
    const line = this.kept.findLast((l) => l.to.node === to.node && l.to.address === to.address && l.to.port === to.port);
    if (!line) return null;
    this.forget(line);
    return line.inbox;
  }

  private drop(line: Line): void {
    this.forget(line);
    line.inbox.channel.close();
  }

  private forget(line: Line): void {
    clearTimeout(line.timer);
    this.kept = this.kept.filter((l) => l !== line);
  }
}

const isBroken = (e: unknown): boolean => e instanceof BrokenLink || (e instanceof TeselaError && e.code === "E_LINK");
