import { closeSync, openSync, writeSync } from "node:fs";
import { contentHash, parseVdso, RANDOM_PARAMS_BYTES, readVdso } from "../image/mod.ts";
import { askRandomParams, libc, proc } from "../sys/mod.ts";
import type { CarriedFile } from "./capture-home.ts";

/** The vdso of the kernel here, which all processes of a boot have in common. */
export interface OwnVdso {
  readonly bytes: Buffer;
  /** The sha256 of it. */
  readonly hash: string;
  /** How much room its data takes in front of it. */
  readonly dataBytes: bigint;
  /** Offsets of its functions by their plain names. */
  readonly functions: ReadonlyMap<string, number>;
  /** See VdsoArea. */
  readonly random: Buffer | null;
}

let known: OwnVdso | null | undefined;

/** @returns null where there is none */
export function ownVdso(): OwnVdso | null {
  if (known === undefined) known = look();
  return known;
}

function look(): OwnVdso | null {
  const parts = proc.readMaps(process.pid).filter(isVdsoPart);
  const [first, code] = [parts[0], parts.at(-1)];
  const bytes = code && readVdso(process.pid, code);
  if (!first || !bytes) return null;
  const functions = parseVdso(bytes)?.functions ?? new Map<string, number>();
  return { bytes, hash: contentHash(bytes), dataBytes: code.start - first.start, functions, random: askRandomParams(RANDOM_PARAMS_BYTES) };
}

/** `[vvar]`, which some kernels have in several parts, and `[vdso]`, which is the last. */
export const isVdsoPart = ({ name }: { readonly name: string }): boolean => name === "[vdso]" || name.startsWith("[vvar");

const MFD_CLOEXEC = 1;
/** Bytes as a file to be carried. */
export function carried(hash: string, bytes: Buffer): CarriedFile {
  const open = (): number => {
    const fd = libc.must("memfd_create", libc.memfdCreate("tesela-vdso", MFD_CLOEXEC));
    try {
      writeSync(fd, bytes);
      return openSync(`/proc/self/fd/${fd}`, "r");
    } finally {
      closeSync(fd);
    }
  };
  return { hash, size: bytes.length, open };
}
