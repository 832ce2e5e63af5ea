import { closeSync, fstatSync, openSync } from "node:fs";
import { assert, least } from "../base/mod.ts";
import { type Image, openMapped, readRseq, SKELETON_BASE, SKELETON_END, type Vma } from "../image/mod.ts";
import { libc, proc, ptrace, Regs } from "../sys/mod.ts";
import type { CarriedFile, Layout } from "./capture-home.ts";
import { readClocks, shifted } from "./clocks.ts";
import { type FileCache, hashOfMapping } from "./file-cache.ts";
import { rewind, setInterrupted } from "./freeze.ts";
import type { Guest } from "./guest.ts";
import type { Birth } from "./guest-types.ts";
import { injectCall } from "./guest-inject.ts";
import { Sys } from "./numbers.ts";
import { isThreadDirected } from "./signals.ts";
import { SKELETON_ARGS } from "./skeleton.ts";

/** A guest's areas, told from its own kernel's list: files by the names of the cache's memory files. */
export function readGuestLayout(guest: Guest, cache: FileCache): Layout {
  const files = new Map<string, CarriedFile>();
  const vmas: Vma[] = [];
  using pagemap = proc.openProc(guest.tid, "pagemap");
  for (const line of proc.readMaps(guest.tid)) {
    if (line.name === "[vsyscall]" || line.name === "[vdso]" || line.name.startsWith("[vvar")) continue;
    if (line.start >= SKELETON_BASE && line.end <= SKELETON_END) continue;
    const { start, end, prot } = line;
    const hash = hashOfMapping(line.name);
    if (hash !== null) {
      if (!files.has(hash)) files.set(hash, cachedFile(guest, cache, hash, line));
      vmas.push({ start, end, prot, growsDown: false, backing: { kind: "file", hash, offset: line.offset } });
      continue;
    }
    const { startStack } = guest.image.mm;
    const growsDown = start <= startStack && startStack < end;
    vmas.push({ start: growsDown ? stackStart(guest, pagemap.fd, start, end) : start, end, prot, growsDown, backing: { kind: "anon" } });
  }
  return { vmas, vdso: guest.image.vdso, files };
}

/** From the cache, or from the mapping itself when the cache has given it up. */
function cachedFile(guest: Guest, cache: FileCache, hash: string, line: proc.MapsLine): CarriedFile {
  const open = (): number => (cache.has(hash) ? openSync(`/proc/self/fd/${cache.fd(hash)}`, "r") : openMapped(guest.tid, line));
  const fd = open();
  try {
    return { hash, size: fstatSync(fd).size, open };
  } finally {
    closeSync(fd);
  }
}

/** The stack is mapped to its limit here; at home it starts where it has been used, or where it was. */
function stackStart(guest: Guest, pagemap: number, start: bigint, end: bigint): bigint {
  const first = proc.ownPages(pagemap, start, end, false)[0]?.addr ?? end;
  const before = guest.image.vmas.find((v) => v.growsDown)?.start ?? end;
  return least(first, before);
}

/** Describes a frozen guest. Its registers are left as they are, so that it can go on if the move fails. */
export function captureGuest(guest: Guest, layout: Layout, left: readonly Uint8Array[]): Image {
  const { tid, image } = guest;
  const before = image.threads[0];
  assert(before, "a guest has a thread");
  const at = SKELETON_ARGS;
  const stack = injectCall(guest, Sys.sigaltstack, [0, at]);
  assert(stack === 0n, "a guest tells its alternate stack");
  const alt = guest.memory.read(at, 24);
  const brk = injectCall(guest, Sys.brk, [0]);
  const regs = new Regs();
  ptrace.getRegs(tid, regs.bytes);
  if (guest.cut) setInterrupted(regs, guest.cut);
  const restart = guest.restart ?? rewind(regs);
  return {
    pid: image.pid,
    vmas: layout.vmas,
    vdso: image.vdso,
    mm: { ...image.mm, brk },
    sigactions: guest.signals.dispositions.bytes,
    pending: [...ptrace.peekSiginfo(tid, true), ...left.filter((i) => !isThreadDirected(i))],
    threads: [
      {
        tid: before.tid,
        regs: regs.bytes,
        xstate: ptrace.getXstate(tid),
        sigmask: ptrace.getSigmask(tid),
        altStack: { sp: alt.readBigUInt64LE(0), flags: alt.readInt32LE(8), size: alt.readBigUInt64LE(16) },
        robustList: robustList(tid),
        clearTid: guest.clearTid,
        rseq: readRseq(tid),
        pending: [...ptrace.peekSiginfo(tid, false), ...left.filter(isThreadDirected)],
        restart,
      },
    ],
    limits: guest.limits,
    cpuUsed: guest.cpuUsed(),
    clocks: shifted(readClocks(), guest.options.origin.shift),
    nice: proc.readStat(tid).nice,
    ids: image.ids,
  };
}

/** What is known of a child that a guest has just made; its registers and memory are in it. */
export function childImage(parent: Guest, { pid, clearHandlers, clearTid }: Birth): Image {
  const { image, signals } = parent;
  const { dispositions } = signals;
  const thread = image.threads[0];
  assert(thread, "a guest has a thread");
  const sigactions = clearHandlers ? dispositions.withoutHandlers() : Buffer.from(dispositions.bytes);
  return {
    ...image,
    pid,
    sigactions,
    pending: [],
    threads: [{ ...thread, tid: pid, clearTid, pending: [], restart: null }],
    limits: parent.limits,
    cpuUsed: { user: 0, system: 0 },
  };
}

function robustList(tid: number): bigint {
  const out = Buffer.alloc(16);
  const at = libc.addressOf(out);
  libc.syscall("get_robust_list", Sys.getRobustList, tid, at, at + 8n);
  return out.readBigUInt64LE(0);
}
