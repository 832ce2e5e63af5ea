import { createHash } from "node:crypto";
import { closeSync, fstatSync, readSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { MiB } from "../base/mod.ts";
import { type Area, readAreas } from "./areas.ts";
import { openMapped, seeFile } from "./mapped-files.ts";

/** Files larger than this are not carried: a program that maps such a file privately stays at home. */
export const MAX_MAPPED_FILE = 256 * MiB;

/** Content of mapped files by hash, remembered by inode and times so that a library is hashed once. */
export class FileHashes {
  private readonly known = new Map<string, string>();
  /** On their way, by the same keys. */
  private readonly learning = new Map<string, Promise<string>>();

  /**
   * Hashes what a process has mapped ahead of {@link hash}, in pieces: a program of 100 MiB takes a while, and others wait for the engine.
   * What it maps or unmaps meanwhile, and what cannot be opened, is left to that.
   */
  async learn(pid: number): Promise<void> {
    const tried = new Set<string>();
    for (const area of readAreas(pid)) {
      if (area.kind !== "file" || tried.has(area.line.name)) continue;
      const { line, seen } = area;
      if (seen && (this.known.has(seen.key) || seen.size > MAX_MAPPED_FILE)) continue;
      tried.add(line.name);
      let fd: number;
      try {
        fd = openMapped(pid, line);
      } catch {
        // Whoever needs it says so.
        continue;
      }
      try {
        if (fstatSync(fd).size <= MAX_MAPPED_FILE) await this.learnFd(fd);
      } finally {
        closeSync(fd);
      }
    }
  }

  /** {@link hashFd} in pieces. */
  async learnFd(fd: number): Promise<string> {
    const { key } = seeFile(fd);
    const known = this.known.get(key) ?? this.learning.get(key);
    if (known !== undefined) return await known;
    const work = inPieces(hashFile(fd));
    this.learning.set(key, work);
    try {
      return this.remember(key, await work);
    } finally {
      this.learning.delete(key);
    }
  }

  /** @returns the sha256 of the file behind the mapping, or null when it is too big to carry. */
  hash(pid: number, { line, seen }: Pick<Area & { kind: "file" }, "line" | "seen">): { hash: string; size: number } | null {
    if (seen && seen.size > MAX_MAPPED_FILE) return null;
    const known = seen && this.known.get(seen.key);
    if (known) return { hash: known, size: seen.size };
    const fd = openMapped(pid, line);
    try {
      const { size } = fstatSync(fd);
      return size > MAX_MAPPED_FILE ? null : { hash: this.hashFd(fd), size };
    } finally {
      closeSync(fd);
    }
  }

  /** The sha256 of an open file. */
  hashFd(fd: number): string {
    const { key } = seeFile(fd);
    return this.known.get(key) ?? this.remember(key, atOnce(hashFile(fd)));
  }

  private remember(key: string, hash: string): string {
    if (this.known.size >= MAX_KNOWN) this.known.clear();
    this.known.set(key, hash);
    return hash;
  }
}
const MAX_KNOWN = 4096;

function atOnce(work: Generator<void, string>): string {
  for (;;) {
    const { done, value } = work.next();
    if (done) return value;
  }
}

async function inPieces(work: Generator<void, string>): Promise<string> {
  for (;;) {
    const { done, value } = work.next();
    if (done) return value;
    await setImmediate();
  }
}

/** A step for each MiB. */
function* hashFile(fd: number): Generator<void, string> {
  const { size } = fstatSync(fd);
  const sum = createHash("sha256");
  const chunk = Buffer.alloc(Math.max(1, Math.min(size, MiB)));
  for (let at = 0; at < size; ) {
    const n = readSync(fd, chunk, 0, chunk.length, at);
    if (n === 0) break;
    sum.update(chunk.subarray(0, n));
    at += n;
    yield;
  }
  return sum.digest("hex");
}

export const contentHash = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
