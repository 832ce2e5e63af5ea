/** A call of the program in words, as strace(1) writes them. */
import { errnoName, type Arg, PATH_MAX, SYMBOLS, syscallRow } from "../abi/mod.ts";
import { asInt } from "./forward.ts";
import { sizeOf } from "./generic.ts";
import { readString } from "./strings.ts";
import type { GuestMemory } from "./types.ts";

/** Bytes of a buffer, and of a string, that are shown. */
const SHOWN = 32;
const SHOWN_PATH = 128;
const MAX_ERRNO = 4095n;
const AT_FDCWD = -100;
const WIDE = 1n << 40n;

const hex = (address: bigint): string => (address === 0n ? "NULL" : `0x${address.toString(16)}`);

const ESCAPES: Readonly<Record<number, string>> = { 9: "\\t", 10: "\\n", 13: "\\r", 34: '\\"', 92: "\\\\" };
const character = (byte: number): string =>
  ESCAPES[byte] ?? (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, "0")}`);

/** In double quotes, cut to what is shown of it. */
function quoted(bytes: Uint8Array, total: number, most: number): string {
  const text = [...bytes.subarray(0, most)].map(character).join("");
  return `"${text}"${total > Math.min(bytes.length, most) ? "..." : ""}`;
}

/** A number as a C program would have written it. */
function integer(value: bigint): string {
  const signed = BigInt.asIntN(64, value);
  if (value >> 32n === 0n) return String(asInt(value) < 0 && asInt(value) > -MAX_SMALL ? asInt(value) : value);
  return signed >= WIDE || signed <= -WIDE ? hex(value) : String(signed);
}
const MAX_SMALL = 4096;

function text(mem: GuestMemory, address: bigint, max: number): string {
  const bytes = readString(mem, address, max);
  if (bytes === null) return hex(address);
  const end = bytes.indexOf(0);
  const length = end < 0 ? bytes.length : end;
  return quoted(bytes.subarray(0, length), end < 0 ? length + 1 : length, SHOWN_PATH);
}

function buffer(mem: GuestMemory, address: bigint, length: number): string {
  if (address === 0n) return "NULL";
  const bytes = mem.readUpTo(address, Math.min(length, SHOWN));
  return bytes.length === 0 && length > 0 ? hex(address) : quoted(bytes, length, SHOWN);
}

function argument(a: Arg, index: number, args: readonly bigint[], mem: GuestMemory): string {
  const value = args[index] ?? 0n;
  switch (a.kind) {
    case "fd":
      return String(asInt(value));
    case "dirfd":
      return asInt(value) === AT_FDCWD ? "AT_FDCWD" : String(asInt(value));
    case "int":
      return integer(value);
    case "path":
      return value === 0n ? "NULL" : text(mem, value, PATH_MAX);
    case "string":
      return value === 0n ? "NULL" : text(mem, value, a.max);
    case "in":
      // Structures of a size of their own are no text.
      return typeof a.size === "number" ? hex(value) : buffer(mem, value, sizeOf(a.size, args));
    default:
      return hex(value);
  }
}

/** The arguments as they are when the call is made. */
export function describeArguments(nr: number, args: readonly bigint[], mem: GuestMemory): string[] {
  const row = syscallRow(nr);
  if (row === undefined) return args.map(hex);
  const names = SYMBOLS[row.name];
  return row.args.map((a, i) => names?.[i]?.(asInt(args[i])) ?? argument(a, i, args, mem));
}

/** What the call has filled by now, by argument. */
export function describeFilled(nr: number, args: readonly bigint[], result: bigint, mem: GuestMemory): Map<number, string> {
  const filled = new Map<number, string>();
  if (result <= 0n) return filled;
  for (const [i, a] of (syscallRow(nr)?.args ?? []).entries()) {
    if (a.kind === "out" && a.limit && a.unit === 1) {
      filled.set(i, buffer(mem, args[i] ?? 0n, Math.min(Number(result), sizeOf(a.size, args))));
    }
  }
  return filled;
}

/** `3`, `0x7f0000000000`, `-1 ENOENT`. */
export function describeResult(result: bigint): string {
  const signed = BigInt.asIntN(64, result);
  if (signed < 0n && signed >= -MAX_ERRNO) return `-1 ${errnoName(Number(-signed))}`;
  return integer(BigInt.asUintN(64, result));
}
