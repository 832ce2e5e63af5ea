import { KiB, MiB } from "../base/mod.ts";

/** What `hello` says; nodes that differ do not talk (E_VERSION). */
export const PROTOCOL_VERSION = 1;

/** `u32le length | u8 id | u8 0 | u16le head length`: what stands before the head. */
export const FRAME_HEADER = 8;
/** The part of the header that the length field counts. */
export const COUNTED_HEADER = 4;
/** Ceiling of the length field: what follows it, so header rest, head and payload together. */
export const MAX_FRAME = 16 * MiB;
/** The head length is a u16. */
export const MAX_HEAD = 64 * KiB - 1;
/** Payload that fits beside any head. */
export const MAX_PAYLOAD = MAX_FRAME - COUNTED_HEADER - MAX_HEAD;
/** Room for a frame is made only after this much of it has arrived, so a length alone costs a peer's node nothing. */
export const FRAME_TRUST = 64 * KiB;

/** Nesting of a head, values of unknown fields included. */
export const MAX_DEPTH = 16;
/** Text of a field that declares no limit of its own. */
export const MAX_TEXT = 4096;
