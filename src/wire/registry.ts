import { type Decoded, defineMessages, type HeadOf, msg } from "./message.ts";
import { bool, data, list, num, opt, size, str, u16, u32 } from "./schema.ts";

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
});

/** Ids that were released and are used no more: id to former name. */
export const RETIRED: Readonly<Record<number, string>> = {};

export type Messages = typeof MESSAGES;
export type MessageName = keyof Messages & string;
/** What a handler gets: `switch (m.type)` narrows `m.head`. */
export type Message = Decoded<Messages>;
export type Head<K extends MessageName> = HeadOf<Messages[K]>;
