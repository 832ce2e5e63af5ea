import { TeselaError } from "../base/mod.ts";

/**
 * What a TLS client asks for before anything is encrypted (RFC 8446 section 4.1.2): the application protocol and the server name. The
 * listener reads it to choose the thread that will do the handshake; nothing is believed because of it.
 */
export interface ClientHello {
  readonly alpn: readonly string[];
  readonly serverName: string;
}

/** A ClientHello with post-quantum key shares is about 1.6 KB. */
export const MAX_CLIENT_HELLO = 16 * 1024;
const RECORD_HANDSHAKE = 22;
const CLIENT_HELLO = 1;
const EXT_SERVER_NAME = 0;
const EXT_ALPN = 16;

function refuse(what: string): TeselaError {
  return new TeselaError("E_PROTOCOL", `not a TLS client: ${what}`);
}

/**
 * The ClientHello that these first bytes of a connection hold, null while it is incomplete.
 * @throws E_PROTOCOL as soon as the bytes cannot become one.
 */
export function parseClientHello(bytes: Buffer): ClientHello | null {
  const message = handshakeMessage(bytes);
  return message === null ? null : parseBody(new Cursor(message));
}

/** Joins the records that carry the first handshake message. */
function handshakeMessage(bytes: Buffer): Buffer | null {
  if (bytes.length > MAX_CLIENT_HELLO) throw refuse(`its hello exceeds ${MAX_CLIENT_HELLO} bytes`);
  const parts: Buffer[] = [];
  let have = 0;
  let at = 0;
  for (;;) {
    if (bytes.length > at && bytes[at] !== RECORD_HANDSHAKE) throw refuse(`its first byte is ${bytes[at]}`);
    if (bytes.length > at + 1 && bytes[at + 1] !== 3) throw refuse("its record has no TLS version");
    if (bytes.length < at + 5) return null;
    const length = bytes.readUInt16BE(at + 3);
    if (length === 0 || length > MAX_CLIENT_HELLO) throw refuse(`a record of ${length} bytes`);
    const part = bytes.subarray(at + 5, at + 5 + length);
    parts.push(part);
    have += part.length;
    const message = parts.length === 1 ? part : Buffer.concat(parts);
    if (have >= 1 && message[0] !== CLIENT_HELLO) throw refuse(`its first handshake message is ${message[0]}`);
    if (have >= 4) {
      const size = message.readUIntBE(1, 3);
      if (size > MAX_CLIENT_HELLO) throw refuse(`its hello claims ${size} bytes`);
      if (have >= 4 + size) return message.subarray(4, 4 + size);
    }
    if (part.length < length) return null;
    at += 5 + length;
  }
}

class Cursor {
  private readonly buf: Buffer;
  private at = 0;

  constructor(buf: Buffer) {
    this.buf = buf;
  }
  get done(): boolean {
    return this.at >= this.buf.length;
  }
  take(n: number): Buffer {
    if (n > this.buf.length - this.at) throw refuse("its hello is cut short");
    this.at += n;
    return this.buf.subarray(this.at - n, this.at);
  }
  /** A vector with a length of `width` bytes before it. */
  vector(width: number): Buffer {
    return this.take(this.take(width).readUIntBE(0, width));
  }
}

function parseBody(c: Cursor): ClientHello {
  // legacy_version, random
  c.take(2 + 32);
  // session id, cipher suites, compression methods
  c.vector(1);
  c.vector(2);
  c.vector(1);
  const alpn: string[] = [];
  let serverName = "";
  const extensions = new Cursor(c.done ? Buffer.alloc(0) : c.vector(2));
  while (!extensions.done) {
    const type = extensions.take(2).readUInt16BE();
    const body = new Cursor(extensions.vector(2));
    if (type === EXT_ALPN) {
      for (const names = new Cursor(body.vector(2)); !names.done; ) alpn.push(names.vector(1).toString("latin1"));
    } else if (type === EXT_SERVER_NAME) {
      const names = new Cursor(body.vector(2));
      if (names.take(1)[0] === 0) serverName = names.vector(2).toString("latin1");
    }
  }
  return { alpn, serverName };
}
