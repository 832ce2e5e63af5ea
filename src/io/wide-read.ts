import { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { KiB } from "../base/mod.ts";
import { readDirectly } from "./direct-read.ts";
import type { Descriptors } from "./thread-door.ts";

/**
 * Node reads what a TLS connection receives in pieces of 16 KiB at most, and the kernel answers each with an acknowledgement: for bulk
 * that is half of what the receiver does. So a second socket on the same connection reads it, many records at a time, and hands
 * them to the TLS engine by the way that Node keeps for bytes which were read before TLS began (`receive`).
 */

const PIECE = 512 * KiB;
/** One for all: what is read into it has been handed on before anything else is read. Made when first needed. */
let piece: Buffer | null = null;

interface TlsHandle {
  readonly fd?: number;
  readonly reading?: boolean;
  receive?: (encrypted: Buffer) => void;
  readStart: () => number;
  readStop: () => number;
}

/** From now on the stream reads widely; false: this Node has not what that takes, and all is as it was. */
export function readWidely(stream: TLSSocket, descriptors: Descriptors): boolean {
  const handle = (stream as unknown as { _handle?: TlsHandle })._handle;
  if (typeof handle?.receive !== "function" || typeof handle.fd !== "number" || handle.fd < 0) return false;
  const receive = handle.receive.bind(handle);
  const raw = new Socket({ fd: descriptors.dup(handle.fd), readable: true, writable: false });
  piece ??= Buffer.allocUnsafeSlow(PIECE);
  const buffer = piece;
  const fed = (n: number): boolean => {
    if (!stream.destroyed) receive(buffer.subarray(0, n));
    return !stream.destroyed;
  };
  if (!readDirectly(raw, () => buffer, fed)) {
    raw.destroy();
    return false;
  }
  raw.pause();
  handle.readStop();
  handle.readStart = () => {
    raw.resume();
    return 0;
  };
  handle.readStop = () => {
    raw.pause();
    return 0;
  };
  if (handle.reading) raw.resume();
  raw.on("error", (e) => stream.destroy(e));
  // An end that the peer told inside of TLS has come to the stream already; this is one without a word.
  raw.on("end", () => stream.push(null));
  stream.once("close", () => raw.destroy());
  return true;
}
