import { type Log, TeselaError } from "../base/mod.ts";
import type { Head } from "../wire/mod.ts";
import type { Clock } from "./clock.ts";
import { SessionChannel } from "./session-channel.ts";
import { firstMessage } from "./session-shake.ts";
import { HANDSHAKE_MS } from "./tls-accept.ts";
import type { Channel } from "./transport.ts";

export interface DoorSettings {
  readonly clock: Clock;
  readonly limitMs: number;
  readonly maxBytes: number;
  readonly log: Log | undefined;
}

interface Known {
  readonly id: string;
  readonly channel: SessionChannel;
  /** The newest connection's: one that was overtaken on its way is of no use to anybody. */
  attempt: number;
}

/** The accepting end: gives each connection to its session. A node has one at a time here, the newest that it began. */
export class SessionDoor {
  private readonly settings: DoorSettings;
  private readonly open: (channel: Channel) => void;
  private readonly sessions = new Map<number, Known>();

  constructor(settings: DoorSettings, open: (channel: Channel) => void) {
    this.settings = settings;
    this.open = open;
  }

  /** A connection has come. Whose it is, its certificate has proven; which session it continues, it says itself. */
  welcome(connection: Channel): void {
    firstMessage(connection, "session", AbortSignal.timeout(HANDSHAKE_MS))
      .then(({ head }) => this.admit(connection, head))
      .catch((e: unknown) => connection.close(e as Error));
  }

  private admit(connection: Channel, head: Head<"session">): void {
    const { node } = connection.peer;
    const known = this.sessions.get(node);
    if (known?.id === head.session) {
      if (head.attempt <= known.attempt) throw new TeselaError("E_LINK", `connection ${head.attempt} of a session came too late`);
      known.attempt = head.attempt;
      const { cutMs } = known.channel;
      this.go(known.channel, connection, head);
      this.settings.log?.info("a link is resumed", { node, ...(cutMs !== null && { cutMs: Math.round(cutMs) }) });
      return;
    }
    if (!head.fresh) throw new TeselaError("E_GONE", `node ${node} wants to resume a session that is not known here`);
    // It would have gone on with the old one if it still had it.
    known?.channel.giveUp(`node ${node} (${connection.peer.name}) has begun anew`);
    const { clock, limitMs, maxBytes, log } = this.settings;
    const channel = new SessionChannel(connection.peer, connection.alpn, {
      clock,
      limitMs,
      maxBytes,
      onCut: (reason) => log?.info("a link is cut", { node, reason: reason.message }),
    });
    const entry = { id: head.session, channel, attempt: head.attempt };
    this.sessions.set(node, entry);
    void channel.closed.then(() => {
      if (this.sessions.get(node) === entry) this.sessions.delete(node);
    });
    this.go(channel, connection, head);
    this.open(channel);
  }

  private go(channel: SessionChannel, connection: Channel, head: Head<"session">): void {
    channel.attach(connection, head.received, () => connection.send("resumed", { received: channel.received }));
  }
}
