import { type Decoded, defineMessages, type HeadOf, msg, raw } from "./message.ts";
import { bool, bytes, data, i32, list, nullable, num, obj, oneOf, opt, size, str, u16, u32, u64, u8 } from "./schema.ts";

/**
 * Every frame that nodes exchange. Append only: an id, once released, means this message for ever, also after the message is gone
 * (move it to RETIRED then). New fields of an old message are `opt`. After a change run
 * `TESELA_GOLDEN=write node --test src/wire/registry.test.ts` and commit the new files of test/golden/wire.
 */
export const MESSAGES = defineMessages({
  /** First frame each way on every connection; keep it readable for every version: append `opt` fields only. */
  hello: msg(1, { protocol: u32, node: u16, name: str(64), version: str(32) }),
  /** The sender closes after it. `error` is a code of src/base/errors.ts. */
  error: msg(2, { error: str(32), message: str(4096), details: opt(data) }),
  ping: msg(3, { n: u32 }),
  pong: msg(4, { n: u32 }),
  /** The sender closes in good order; an end without it is a broken link. */
  bye: msg(5, {}),
  /** Bytes without a meaning, to measure and to test a link. */
  probe: raw(6),

  // 7 to 9: a session over one connection after the other, see src/io/session-channel.ts. They are not numbered; all else is, from 1.
  /** First frame of who dialled, on each connection. `received`: frames that it has got before; `attempt` grows with each connection. */
  session: msg(7, { session: str(32), attempt: u32, received: size, fresh: bool }),
  /** The answer to it: what the other end has got. What either lacks comes next. */
  resumed: msg(8, { received: size }),
  /** So many have been received by now. */
  ack: msg(9, { received: size }),

  // 10 to 30: the engines' link. A ticket is one stay of one process away from home; home gives it out.
  /** See src/engine/hot-frames.ts. */
  call: raw(10),
  reply: raw(11),
  /** A signal arrived at home; payload: its siginfo_t. Home waits for the verdict with the same `seq`. */
  signal: msg(12, { ticket: u32, seq: u32 }),
  verdict: msg(13, { ticket: u32, seq: u32, verdict: oneOf("deliver", "handled", "none", "later", "stay") }),
  /** A signal of the guest's own takes its default action; payload: its siginfo_t. */
  raise: msg(14, { ticket: u32, signal: u8 }),
  /** `nr`: the call that it is about to make there. */
  back: msg(15, { ticket: u32, reason: str(64), nr: u32 }),
  pause: msg(16, { ticket: u32, paused: bool }),
  exit: msg(17, { ticket: u32, code: i32 }),
  lost: msg(18, { ticket: u32, reason: str(512) }),
  drop: msg(19, { ticket: u32 }),
  /** What the two engines settle between them apart from calls: a question and its answer, by `id` of the asking side. */
  ask: msg(20, { id: u32, method: str(32), params: data }),
  answer: msg(21, { id: u32, ok: bool, value: data }),
  /** How the guests of the receiver's processes fare, once a second. */
  usage: msg(22, { rows: list(obj({ ticket: u32, userUs: size, systemUs: size, rss: size, state: str(1), calls: size }), 4096) }),

  /** A handler waits in a thread's guest for the end of the call that home is making for it. */
  hurry: msg(23, { ticket: u32 }),

  // 31 to 40: a process on its way, over a bulk connection.
  offer: msg(31, {
    ticket: u32,
    home: u16,
    pid: u32,
    vdso: nullable(str(64)),
    /** The running kernel's boot id: clocks of another boot differ. */
    boot: str(64),
    cpu: list(str(32), 1024),
    /** It takes its CPU features from what it was started with, and uses no others that it finds. */
    portable: opt(bool),
    bytes: size,
    files: list(obj({ hash: str(64), size }), 1024),
    /** It comes with others that share its memory: those that come from one node under one name. */
    group: opt(str(32)),
  }),
  want: msg(32, { hashes: list(str(64), 1024) }),
  /** A piece of a mapped file; pieces come in order, `last` with the final one. */
  file: msg(33, { hash: str(64), size, last: bool }),
  /** Payload: the image but for its pages, as src/image/codec.ts has it. */
  image: msg(34, { huge: list(obj({ start: u64, end: u64 }), 1024) }),
  /** The areas whose clean pages the receiver needs too. */
  full: msg(35, { ranges: list(obj({ start: u64, end: u64 }), 1024) }),
  /** Payload: `runs` entries {u64 address, u64 pages}, then the pages. */
  pages: msg(36, { runs: u32 }),
  end: msg(37, { pages: size }),
  ready: msg(38, {}),
  /** `objects`: shared memory that is wanted before the image. `round`: home's take-over of the process that wants it. */
  fetch: msg(39, { ticket: u32, objects: opt(list(str(64), 256)), round: opt(u32) }),
  /** A piece of memory that a group shares, `at` an offset in its `size` bytes; what does not come is zero. */
  shared: msg(40, { name: str(64), size, at: size }),
  /** Memory of a group that has ended away from home, which others can come to. */
  fetchShared: msg(41, { group: str(32), objects: list(str(64), 256) }),

  // 64 to 95: control streams, teselad to teselad. An answer bears the `seq` of its question.
  ctlStatusAsk: msg(64, { seq: u32 }),
  ctlStatus: msg(65, {
    seq: u32,
    cpus: num,
    speed: u32,
    load: num,
    memTotal: size,
    memFree: size,
    guests: u32,
    away: u32,
    flags: list(str(16), 32),
    /** Bits of GLIBC_FEATURES. */
    cpu: opt(u32),
    /** The part of `load` that is its owner's own work. */
    own: opt(num),
    /** CPUs that its tasks get. */
    got: opt(num),
    /** Bytes a second by which `memFree` shrinks. */
    memGrowth: opt(size),
  }),
  ctlProcessesAsk: msg(66, { seq: u32 }),
  /** Payload: JSON, the rows of the node's engine. */
  ctlProcesses: msg(67, { seq: u32 }),
  /** A move of one of the asked node's own processes; `uid` and `gid` are the caller's on the asking node. */
  ctlMigrate: msg(68, { seq: u32, pid: str(16), target: str(64), why: bool, uid: u32, gid: u32 }),
  /** Payload: JSON, what `tesela migrate --json` prints. */
  ctlMigrated: msg(69, { seq: u32 }),
  /** The question failed, the stream goes on. */
  ctlFailed: msg(70, { seq: u32, error: str(32), message: str(4096), details: opt(data) }),
  /** A question by its name, as on the node's own socket (`GET /why`); payload: JSON. `uid` and `gid` are the caller's on the asking node. */
  ctlAsk: msg(71, { seq: u32, what: str(64), uid: u32, gid: u32 }),
  /** Payload: JSON. */
  ctlAnswer: msg(72, { seq: u32 }),

  // 80 to 87: who belongs to the cluster. 80 and 81 are all that a joining machine's connection carries, one each way (or `error`).
  /** The first word of a machine that is nobody yet. Payload: its request, JSON, which the proof covers. */
  join: msg(80, { token: bytes(8), proof: bytes(32) }),
  /** Payload: JSON, what the new node needs. */
  joined: msg(81, {}),
  /** On control streams: what the asked node's record says of all nodes, when it has another digest. */
  ctlRecordAsk: msg(82, { seq: u32, digest: opt(str(64)) }),
  /** Payload: JSON, the entries; none when the digest is the same. */
  ctlRecord: msg(83, { seq: u32 }),
  /** The asking node wants a certificate anew; payload: its request, DER. */
  ctlRenew: msg(84, { seq: u32 }),
  /** Payload: PEM. */
  ctlRenewed: msg(85, { seq: u32 }),
  /** The asking node leaves the cluster; the answer is `ctlRecord` with its entry. */
  ctlLeave: msg(86, { seq: u32 }),
  /** Entries that are new, told without being asked. Payload: JSON. */
  ctlNews: msg(87, {}),
});

/** Ids that were released and are used no more: id to former name. */
export const RETIRED: Readonly<Record<number, string>> = {};

export type Messages = typeof MESSAGES;
export type MessageName = keyof Messages & string;
/** What a handler gets: `switch (m.type)` narrows `m.head`. */
export type Message = Decoded<Messages>;
export type Head<K extends MessageName> = HeadOf<Messages[K]>;
