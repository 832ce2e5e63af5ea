import { readSync } from "node:fs";
import { libc, SysError } from "../sys/mod.ts";
import { Sys } from "./numbers.ts";

/** What shared memory holds, read from and given back by a descriptor of it. */

const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const ENXIO = "ENXIO";
const KEEP_SIZE_PUNCH_HOLE = 3;

export interface Piece {
  readonly at: number;
  readonly bytes: Buffer;
}

/** Pieces of at most so many bytes, without what has never been written. @throws SysError */
export function* piecesOf(fd: number, size: number, most: number): Generator<Piece> {
  for (let at = 0; at < size; ) {
    const from = seek(fd, at, SEEK_DATA);
    if (from === null || from >= size) return;
    const to = Math.min(seek(fd, from, SEEK_HOLE) ?? size, size);
    for (at = from; at < to; ) {
      const bytes = Buffer.allocUnsafe(Math.min(most, to - at));
      const n = readSync(fd, bytes, 0, bytes.length, at);
      if (n === 0) return;
      yield { at, bytes: bytes.subarray(0, n) };
      at += n;
    }
  }
}

/** @returns null where nothing comes any more (lseek(2), ENXIO) */
function seek(fd: number, from: number, whence: number): number | null {
  try {
    return libc.syscall("lseek", Sys.lseek, fd, from, whence);
  } catch (e) {
    if (e instanceof SysError && e.code === ENXIO) return null;
    throw e;
  }
}

/** Its pages are given back: it reads as zeros (fallocate(2), FALLOC_FL_PUNCH_HOLE). @throws SysError */
export function dropContent(fd: number, size: number): void {
  if (size > 0) libc.syscall("fallocate", Sys.fallocate, fd, KEEP_SIZE_PUNCH_HOLE, 0, size);
}
