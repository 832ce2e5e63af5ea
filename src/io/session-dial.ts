import { randomBytes } from "node:crypto";
import { type Log, TeselaError, toTeselaError } from "../base/mod.ts";
import type { Clock } from "./clock.ts";
import type { BrokenLink } from "./broken-link.ts";
import { SessionChannel } from "./session-channel.ts";
import { firstMessage } from "./session-shake.ts";
import { CONNECT_TIMEOUT_MS } from "./tls-dial.ts";
import type { Channel, ConnectOptions, PeerAddress, Transport } from "./transport.ts";

/** Pause before the second attempt to connect again, doubled for each further one; the first is made at once. */
const FIRST_PAUSE_MS = 50;
export const MAX_PAUSE_MS = 1_000;
/** Time for the first attempt, doubled for each further one: behind swallowed packets TCP itself tries again ever more seldom. */
const FIRST_ATTEMPT_MS = 1_000;
const MAX_ATTEMPT_MS = 4_000;
/** A connection that lasted this long was a good one: the pauses begin anew. */
const STABLE_MS = 1_000;
/** Where nobody listens for this long the peer's process has ended. One that is started anew says so itself. */
const REFUSED_MS = 500;

export interface DialSettings {
  readonly clock: Clock;
  readonly limitMs: number;
  readonly silenceMs: number;
  readonly maxPauseMs: number;
  readonly maxBytes: number;
  readonly log: Log | undefined;
}

/** The dialling end: begins a session, and connects again whenever its connection is lost. */
export class SessionDialler {
  private readonly transport: Transport;
  private readonly settings: DialSettings;
  private readonly to: PeerAddress;
  private readonly alpn: string;
  private readonly id = randomBytes(16).toString("hex");
  private attempts = 0;
  private upSince = 0;
  private pauses = 0;

  constructor(transport: Transport, to: PeerAddress, alpn: string, settings: DialSettings) {
    this.transport = transport;
    this.to = to;
    this.alpn = alpn;
    this.settings = settings;
  }

  /** @throws TeselaError as Transport.connect does */
  async begin(options: ConnectOptions): Promise<Channel> {
    const { clock, limitMs, maxBytes } = this.settings;
    const { connection, received } = await this.connect(0, true, options);
    const channel: SessionChannel = new SessionChannel(connection.peer, this.alpn, {
      clock,
      limitMs,
      maxBytes,
      onCut: (reason) => void this.redial(channel, reason),
    });
    this.upSince = clock.now();
    channel.attach(connection, received);
    return channel;
  }

  private async connect(has: number, fresh: boolean, options: ConnectOptions): Promise<{ connection: Channel; received: number }> {
    const { deadMs = this.settings.silenceMs, timeoutMs = CONNECT_TIMEOUT_MS } = options;
    const { node } = this.to;
    const late = new AbortController();
    using _timer = this.settings.clock.after(timeoutMs, () =>
      late.abort(new TeselaError("E_TIMEOUT", `node ${node} did not answer within ${timeoutMs / 1000} s`, { node })),
    );
    const connection = await this.transport.connect(this.to, this.alpn, { ...options, deadMs, timeoutMs });
    connection.send("session", { session: this.id, attempt: this.attempts++, received: has, fresh });
    const signal = options.signal === undefined ? late.signal : AbortSignal.any([options.signal, late.signal]);
    const { head } = await firstMessage(connection, "resumed", signal);
    return { connection, received: head.received };
  }

  /** Until it is connected, or the session over. */
  private async redial(channel: SessionChannel, reason: BrokenLink): Promise<void> {
    const { clock, log, maxPauseMs } = this.settings;
    const { node } = this.to;
    log?.info("a link is cut", { node, reason: reason.message });
    const over = new AbortController();
    void channel.closed.then(() => over.abort());
    if (clock.now() - this.upSince >= STABLE_MS) this.pauses = 0;
    const cutAt = clock.now();
    let refusedSince: number | null = null;
    for (let attempt = 0; ; attempt++) {
      try {
        if (this.pauses > 0) await clock.sleep(Math.min(FIRST_PAUSE_MS << (this.pauses - 1), maxPauseMs), over.signal);
        this.pauses = Math.min(this.pauses + 1, MAX_DOUBLINGS);
        const timeoutMs = Math.min(FIRST_ATTEMPT_MS << Math.min(attempt, MAX_DOUBLINGS), MAX_ATTEMPT_MS);
        const { connection, received } = await this.connect(channel.received, false, { timeoutMs, signal: over.signal });
        this.upSince = clock.now();
        channel.attach(connection, received);
        log?.info("a link is resumed", { node, attempts: attempt + 1, cutMs: Math.round(clock.now() - cutAt) });
        return;
      } catch (e) {
        if (over.signal.aborted) return;
        const error = toTeselaError(e);
        log?.debug("a link is not resumed yet", { node, error: error.message });
        if (error.code === "E_GONE" || error.code === "E_VERSION") {
          channel.giveUp(`${reason.message}; the other end knows nothing of it any more: it was started anew, or has given it up`);
          return;
        }
        refusedSince = isRefused(error) ? (refusedSince ?? clock.now()) : null;
        if (refusedSince !== null && clock.now() - refusedSince >= REFUSED_MS) {
          channel.giveUp(`${reason.message}; nobody listens there any more`);
          return;
        }
      }
    }
  }
}
const MAX_DOUBLINGS = 10;

/** The machine answers, and says that no process listens on that port. */
const isRefused = (e: TeselaError): boolean => (e.cause as NodeJS.ErrnoException | undefined)?.code === "ECONNREFUSED";
