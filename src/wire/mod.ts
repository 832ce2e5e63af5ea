/** What nodes say to each other: frames, the messages in them, and their limits. Bytes only; src/io carries them. */
export { Codec, COPY_LIMIT } from "./codec.ts";
export { CborReader, CborWriter } from "./cbor.ts";
export { incoming, outgoing } from "./frame-pool.ts";
export { FrameReader, type RawFrame, writeFrameHeader } from "./frame.ts";
export * from "./limits.ts";
export { type Decoded, defineMessages, type HeadOf, type MessageDef, type MessageTable, msg, raw } from "./message.ts";
export { type Head, type Message, MESSAGES, type MessageName, type Messages, RETIRED } from "./registry.ts";
export * from "./schema.ts";
import { Codec } from "./codec.ts";
import { MESSAGES } from "./registry.ts";

/** The codec of the registry. */
export const codec = new Codec(MESSAGES);
