import { NODE_NAME } from "./config.ts";
import { ENTRY_BYTES, readEntry, writeEntry } from "./load-entry.ts";
import type { LoadItem } from "./load-vector.ts";

/** How a member is, as bytes have it: append only. */
export const STATES = ["up", "suspect", "down", "left"] as const;
export type MemberState = (typeof STATES)[number];

/** PING is answered by ACK; ASK asks to ping `about` and is answered by ACK or NACK; PAGE asks for members above `about`, LIST has them. */
export const TYPES = ["ping", "ack", "ask", "nack", "news", "page", "list"] as const;
export type MessageType = (typeof TYPES)[number];

/** Where a node is reached: TCP port, and UDP port for gossip. */
export interface Where {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly gossip: number;
}

/** What is said of a member. A larger incarnation is newer; only the member itself makes new ones. */
export interface Rumour {
  readonly id: number;
  readonly state: MemberState;
  readonly incarnation: number;
  /** 32 random bits of each start of that node. */
  readonly life: number;
  /** Who found it so. */
  readonly by: number;
  /** Left out where only the state is news. */
  readonly where?: Where | undefined;
}

export interface GossipMessage {
  readonly type: MessageType;
  /** ACK and NACK repeat that of the question. */
  readonly seq: number;
  /** The sender's. */
  readonly life: number;
  readonly incarnation: number;
  /** ASK: whom to ping. PAGE: above which number. LIST: the last number in it, 0 when no more follow. */
  readonly about: number;
  readonly rumours: readonly Rumour[];
  readonly loads: readonly LoadItem[];
}

/** Type, seq, life, incarnation, about, and the two counts. */
export const MESSAGE_BYTES = 1 + 4 + 4 + 4 + 2 + 1 + 1;
export const LOAD_BYTES = 2 + 4 + 4 + 2 + ENTRY_BYTES;
const RUMOUR_BYTES = 2 + 1 + 4 + 4 + 2;
const WITH_WHERE = 0x80;
const MAX_COUNT = 255;
/** Ages travel in these units, so that two bytes reach ten minutes. */
const AGE_UNIT_MS = 10;
const MAX_AGE = 0xffff;
/** An IP address, a scope included, or a host name. */
const ADDRESS = /^[A-Za-z0-9.:%_-]{1,253}$/;

export function rumourBytes({ where }: Rumour): number {
  return RUMOUR_BYTES + (where === undefined ? 0 : 6 + Buffer.byteLength(where.name) + Buffer.byteLength(where.address));
}

export function encode(m: GossipMessage): Buffer {
  const rumours = m.rumours.slice(0, MAX_COUNT);
  const loads = m.loads.slice(0, MAX_COUNT);
  const out = Buffer.alloc(MESSAGE_BYTES + rumours.reduce((n, r) => n + rumourBytes(r), 0) + loads.length * LOAD_BYTES);
  out[0] = TYPES.indexOf(m.type);
  out.writeUInt32BE(m.seq, 1);
  out.writeUInt32BE(m.life, 5);
  out.writeUInt32BE(m.incarnation, 9);
  out.writeUInt16BE(m.about, 13);
  out[15] = rumours.length;
  out[16] = loads.length;
  let at = MESSAGE_BYTES;
  for (const r of rumours) at = writeRumour(out, at, r);
  for (const { id, life, seq, ageMs, entry } of loads) {
    out.writeUInt16BE(id, at);
    out.writeUInt32BE(life, at + 2);
    out.writeUInt32BE(seq, at + 6);
    out.writeUInt16BE(Math.min(MAX_AGE, Math.ceil(ageMs / AGE_UNIT_MS)), at + 10);
    writeEntry(out, at + 12, entry);
    at += LOAD_BYTES;
  }
  return out;
}

function writeRumour(out: Buffer, start: number, r: Rumour): number {
  let at = start;
  out.writeUInt16BE(r.id, at);
  out[at + 2] = STATES.indexOf(r.state) | (r.where === undefined ? 0 : WITH_WHERE);
  out.writeUInt32BE(r.incarnation, at + 3);
  out.writeUInt32BE(r.life, at + 7);
  out.writeUInt16BE(r.by, at + 11);
  at += RUMOUR_BYTES;
  if (r.where === undefined) return at;
  for (const text of [r.where.name, r.where.address]) {
    out[at] = Buffer.byteLength(text);
    at += 1 + out.write(text, at + 1);
  }
  out.writeUInt16BE(r.where.port, at);
  out.writeUInt16BE(r.where.gossip, at + 2);
  return at + 4;
}

/** The message, or null for what is none: too short or too long by a byte, or with anything in it that cannot be. */
export function decode(bytes: Buffer): GossipMessage | null {
  const type = TYPES[bytes[0] ?? TYPES.length];
  if (bytes.length < MESSAGE_BYTES || type === undefined) return null;
  const rumours: Rumour[] = [];
  const loads: LoadItem[] = [];
  let at = MESSAGE_BYTES;
  for (let n = bytes[15] ?? 0; n > 0; n--) {
    const r = readRumour(bytes, at);
    if (r === null) return null;
    rumours.push(r);
    at += rumourBytes(r);
  }
  for (let n = bytes[16] ?? 0; n > 0; n--) {
    if (at + LOAD_BYTES > bytes.length) return null;
    const id = bytes.readUInt16BE(at);
    const entry = readEntry(bytes, at + 12);
    if (id === 0 || entry === null) return null;
    const ageMs = bytes.readUInt16BE(at + 10) * AGE_UNIT_MS;
    loads.push({ id, life: bytes.readUInt32BE(at + 2), seq: bytes.readUInt32BE(at + 6), ageMs, entry });
    at += LOAD_BYTES;
  }
  if (at !== bytes.length) return null;
  const [seq, life, incarnation, about] = [bytes.readUInt32BE(1), bytes.readUInt32BE(5), bytes.readUInt32BE(9), bytes.readUInt16BE(13)];
  return { type, seq, life, incarnation, about, rumours, loads };
}

function readRumour(bytes: Buffer, at: number): Rumour | null {
  if (at + RUMOUR_BYTES > bytes.length) return null;
  const id = bytes.readUInt16BE(at);
  const kind = bytes[at + 2] ?? 0;
  const state = STATES[kind & ~WITH_WHERE];
  if (id === 0 || state === undefined) return null;
  const plain = { id, state, incarnation: bytes.readUInt32BE(at + 3), life: bytes.readUInt32BE(at + 7), by: bytes.readUInt16BE(at + 11) };
  if ((kind & WITH_WHERE) === 0) return plain;
  let next = at + RUMOUR_BYTES;
  const texts: string[] = [];
  for (let i = 0; i < 2; i++) {
    const length = bytes[next] ?? 0;
    texts.push(bytes.toString("latin1", next + 1, next + 1 + length));
    next += 1 + length;
  }
  if (next + 4 > bytes.length) return null;
  const [name = "", address = ""] = texts;
  const [port, gossip] = [bytes.readUInt16BE(next), bytes.readUInt16BE(next + 2)];
  if (!NODE_NAME.test(name) || !ADDRESS.test(address) || port === 0 || gossip === 0) return null;
  return { ...plain, where: { name, address, port, gossip } };
}
