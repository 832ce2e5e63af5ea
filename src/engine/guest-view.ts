import { readFileSync } from "node:fs";
import { TeselaError } from "../base/mod.ts";
import type { Data } from "../wire/mod.ts";
import type { FileCache } from "./file-cache.ts";
import type { Guest } from "./guest.ts";
import type { GuestProcess } from "./guest-process.ts";
import { readGuestLayout } from "./guest-capture.ts";

/** All of it travels in one head (src/wire/limits.ts): a process with more to tell goes home. */
const MAX_VIEW = 48 * 1024;

/** What is wanted: of the thread alone, or of its process; arguments and environment, or all else. */
interface Wanted {
  readonly ofThread: boolean;
  readonly strings: boolean;
}

/** Files of a guest in this node's /proc, for its home to put its own view together from. @throws TeselaError E_NOMEM */
export function guestView(thread: Guest, cache: FileCache, { ofThread, strings }: Wanted): Data {
  const guest = thread.process;
  const folder = `/proc/${guest.leader.tid}/${ofThread ? `task/${thread.tid}/` : ""}`;
  const file = (name: string): Buffer => readFileSync(folder + name);
  const { user, system } = (ofThread ? thread : guest).cpuUsed();
  const view = strings
    ? { cmdline: commandLine(guest), environ: between(guest, guest.image.mm.envStart, guest.image.mm.envEnd) }
    : { maps: file("maps"), stat: file("stat"), statm: file("statm"), status: file("status") };
  const size = Object.values(view).reduce((n, b) => n + b.length, 0);
  if (size > MAX_VIEW) throw new TeselaError("E_NOMEM", `the guest's view of itself has ${size} bytes`);
  if (strings) return view;
  const stackStart = readGuestLayout(guest, cache).vmas.find((v) => v.growsDown)?.start ?? 0n;
  return { ...view, stackStart, user, system };
}

const PAGE = 4096;

/** Its node's kernel is not told where they are, so that the node's users do not see them. */
function between(guest: GuestProcess, start: bigint, end: bigint): Buffer {
  return end > start ? guest.memory.readUpTo(start, Number(end - start)) : Buffer.alloc(0);
}

/** As fs/proc/base.c has it: a program that has written over its arguments without a NUL at their end has given itself a title. */
function commandLine(guest: GuestProcess): Buffer {
  const { argStart, argEnd } = guest.image.mm;
  const given = between(guest, argStart, argEnd);
  if (given.length === 0 || given.at(-1) === 0) return given;
  const page = guest.memory.readUpTo(argStart, PAGE);
  const end = page.indexOf(0);
  return end < 0 ? page : page.subarray(0, end + 1);
}
