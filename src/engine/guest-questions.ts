import { closeSync, fstatSync, readSync } from "node:fs";
import { TeselaError } from "../base/mod.ts";
import { type FileHashes, MAX_MAPPED_FILE } from "../image/mod.ts";
import { isErrno, libc } from "../sys/mod.ts";
import type { Data } from "../wire/mod.ts";
import { bigintOf, numberOf } from "./asks.ts";
import { readClocks } from "./clocks.ts";
import type { Deputy } from "./deputy.ts";
import type { HomeThread } from "./home-thread.ts";
import type { HomeSide, Link } from "./links.ts";
import { Sys } from "./numbers.ts";
import { fetchDescriptor } from "./seat.ts";

const F_GETFL = 3;
const O_ACCMODE = 3;
const MAP_SHARED = 1n;
const PROT_WRITE = 2n;
/** MAP_FIXED and MAP_FIXED_NOREPLACE: the trial mapping goes wherever there is room. */
const MAP_FIXED_BITS = 0x100010n;
const FILE_PIECE = 256 << 10;

type Params = Record<string, Data | undefined>;

/** What the engines of hosts ask a home for besides calls: files that guests map. */
export function guestQuestions(thread: (ticket: number) => HomeThread | undefined, hashes: FileHashes): HomeSide["asks"] {
  const away = (p: Params): Deputy => {
    const home = thread(numberOf(p, "ticket"));
    if (home?.process.phase !== "away") throw new TeselaError("E_BUSY", "the process is being moved");
    return home.deputy;
  };
  return {
    clocks: () => () => ({ ...readClocks() }),
    mapFile: () => (p) => mapFile(away(p), (p.args as Data[]).map(bigintOf), hashes),
    sendFile: (link) => (p) => sendFile(link, away(p), bigintOf(p.fd), hashes),
    /** A call that home makes beside the guest's own kernel, to stay in step with it. */
    mirror: () => async (p) => BigInt.asUintN(64, await away(p).call(numberOf(p, "nr"), ...(p.args as Data[]).map(bigintOf))),
  };
}

/** Tells what a file holds that the guest wants to map, once home's kernel has agreed that it may be. */
async function mapFile(home: Deputy, args: readonly bigint[], hashes: FileHashes): Promise<Data> {
  const [, length = 0n, prot = 0n, flags = 0n, fd = 0n, offset = 0n] = args;
  const trial = await home.call(Sys.mmap, 0, length, prot, flags & ~MAP_FIXED_BITS, fd, offset);
  if (isErrno(trial)) return { errno: Number(-trial) };
  await home.call(Sys.munmap, trial, length);
  const dup = duplicate(home, fd);
  try {
    const st = fstatSync(dup);
    if (!st.isFile()) return { reason: "mmap_dev" };
    const accessMode = libc.must("fcntl", libc.fcntl(dup, F_GETFL, 0)) & O_ACCMODE;
    if ((flags & MAP_SHARED) !== 0n && (accessMode !== 0 || (prot & PROT_WRITE) !== 0n)) return { reason: "monkey" };
    if (st.size > MAX_MAPPED_FILE) return { reason: "big_mapping" };
    return { hash: await hashes.learnFd(dup) };
  } finally {
    closeSync(dup);
  }
}

async function sendFile(link: Link, home: Deputy, fd: bigint, hashes: FileHashes): Promise<Data> {
  const dup = duplicate(home, fd);
  try {
    const { size } = fstatSync(dup);
    const hash = await hashes.learnFd(dup);
    for (let at = 0; at < size || at === 0; ) {
      const piece = Buffer.alloc(Math.min(FILE_PIECE, Math.max(size - at, 0)));
      const n = readSync(dup, piece, 0, piece.length, at);
      at += n;
      link.channel.send("file", { hash, size, last: at >= size }, piece.subarray(0, n));
      if (n === 0) break;
      await link.channel.drained();
    }
    return null;
  } finally {
    closeSync(dup);
  }
}

const duplicate = (home: Deputy, fd: bigint): number => fetchDescriptor(home.pid, Number(BigInt.asIntN(32, fd)));
