/** The hello that opens every connection, whoever carries it. */
import type { Duplex } from "node:stream";
import { KiB, type NodeId, TeselaError, toTeselaError } from "../base/mod.ts";
import { codec, type Data, FrameReader, type Head, type Message, PROTOCOL_VERSION } from "../wire/mod.ts";
import type { Peer } from "./transport.ts";

/** A first frame larger than this is no hello. */
const MAX_HELLO = 8 * KiB;
const FAREWELL_MS = 500;
/** A message of an `error` frame is cut to fit its field. */
const MAX_REASON = 1000;

/** What a node says of itself. */
export interface Self {
  readonly node: NodeId;
  readonly name: string;
  readonly version: string;
  /** Another number than ours only in tests. */
  readonly protocol?: number;
}

/** The `error` frame for what went wrong. */
export function errorFrame(reason: unknown): Buffer[] {
  const { error, message, ...details } = toTeselaError(reason).toJSON();
  const head: Head<"error"> = { error, message: message.slice(0, MAX_REASON) };
  try {
    const full = Object.keys(details).length === 0 ? head : { ...head, details: details as Data };
    return codec.encode("error", full, []) as Buffer[];
  } catch {
    // Details that the codec does not carry (too long, a function) are worth less than the message.
    return codec.encode("error", head, []) as Buffer[];
  }
}

/** What an `error` frame told. */
export function errorOf(head: Head<"error">): TeselaError {
  const details = head.details !== null && typeof head.details === "object" && !Array.isArray(head.details) ? head.details : {};
  return TeselaError.from({ ...(details as Record<string, unknown>), error: head.error, message: head.message });
}

/** Throws when this hello is not from the node that its certificate names, or from another protocol. */
export function checkHello(message: Message, proven: NodeId, self: Self): Peer {
  if (message.type === "error") throw errorOf(message.head);
  if (message.type !== "hello") throw new TeselaError("E_PROTOCOL", `node ${proven} began with '${message.type}' instead of hello`);
  const { protocol, node, name, version } = message.head;
  const ours = self.protocol ?? PROTOCOL_VERSION;
  if (protocol !== ours) {
    const text = `node ${proven} (Tesela ${version}) speaks protocol ${protocol}, node ${self.node} (Tesela ${self.version}) speaks ${ours}`;
    throw new TeselaError("E_VERSION", `${text}: install the same version on both`);
  }
  if (node !== proven) throw new TeselaError("E_IDENTITY", `a peer says that it is node ${node}, its certificate says node ${proven}`);
  return { node: proven, name, version };
}

/**
 * Sends our hello and waits for the peer's on a stream whose other end is proven to be node `proven`. `rest` is what came behind the
 * hello. On a peer that is not acceptable, tells it why and throws; the caller destroys the stream then, as when `signal` aborts.
 */
export async function greet(stream: Duplex, proven: NodeId, self: Self, signal: AbortSignal): Promise<{ peer: Peer; rest: Buffer }> {
  const { node, name, version } = self;
  for (const piece of codec.encode("hello", { protocol: self.protocol ?? PROTOCOL_VERSION, node, name, version }, [])) stream.write(piece);
  try {
    const { message, rest } = await readFirst(stream, `node ${proven}`, MAX_HELLO, signal);
    return { peer: checkHello(message, proven, self), rest };
  } catch (e) {
    if (stream.writable) for (const piece of errorFrame(e)) stream.write(piece);
    throw e;
  }
}

/** Closes a stream that failed its greeting, a little later: the error frame has to leave, and be read before a reset overtakes it. */
export function closeSoon(stream: Duplex): void {
  stream.on("error", () => {});
  stream.resume();
  stream.end();
  const timer = setTimeout(() => stream.destroy(), FAREWELL_MS);
  stream.once("close", () => clearTimeout(timer));
}

/**
 * The first message of a stream that nothing was read from, and what came behind it.
 * @param who is at the other end, for the errors
 * @throws E_PROTOCOL, E_REFUSED when it ends before, or the signal's reason; the caller destroys the stream then
 */
export function readFirst(stream: Duplex, who: string, maxFrame: number, signal: AbortSignal): Promise<{ message: Message; rest: Buffer }> {
  return new Promise((resolve, reject) => {
    let message: Message | null = null;
    const reader = new FrameReader(
      (frame) => {
        message = codec.decode(frame);
        reader.pause();
      },
      { maxFrame },
    );
    const finish = (act: () => void) => {
      stream.off("readable", onReadable).off("error", onError).off("end", onEnd).off("close", onEnd);
      signal.removeEventListener("abort", onAbort);
      act();
    };
    // Reading by hand leaves the stream neither flowing nor paused: its next owner finds it as new.
    const onReadable = () => {
      try {
        while (message === null) {
          const chunk: Buffer | null = stream.read();
          if (chunk === null) return;
          reader.push(chunk);
        }
      } catch (e) {
        return finish(() => reject(e));
      }
      const got = message;
      finish(() => resolve({ message: got, rest: reader.takeRest() }));
    };
    const onError = (e: Error) => finish(() => reject(e));
    const onEnd = () => finish(() => reject(new TeselaError("E_REFUSED", `${who} ended the connection before it said a word`)));
    const onAbort = () => finish(() => reject(signal.reason));
    if (signal.aborted) return reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    stream.on("readable", onReadable).on("error", onError).on("end", onEnd).on("close", onEnd);
  });
}
