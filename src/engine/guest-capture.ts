import { closeSync, fstatSync, openSync } from "node:fs";
import { assert, least, TeselaError } from "../base/mod.ts";
import {
  adviceOf,
  isEngines,
  type Image,
  mayBeWritten,
  openMapped,
  readRseq,
  type SharedObject,
  type ThreadImage,
  type Vma,
} from "../image/mod.ts";
import { libc, proc, ptrace, Regs } from "../sys/mod.ts";
import { barriersOf, GET_REGISTRATIONS } from "./barriers.ts";
import type { CarriedFile, Layout } from "./capture-home.ts";
import { readClocks, shifted } from "./clocks.ts";
import { type FileCache, hashOfMapping } from "./file-cache.ts";
import { rewind, setInterrupted } from "./freeze.ts";
import { nameRestarted } from "./restarts.ts";
import type { Guest } from "./guest.ts";
import type { GuestProcess } from "./guest-process.ts";
import type { Birth } from "./guest-types.ts";
import { injectCall } from "./guest-inject.ts";
import { Sys } from "./numbers.ts";
import { carried, isVdsoPart } from "./own-vdso.ts";
import { isThreadDirected } from "./signals.ts";
import { SKELETON_ARGS } from "./skeleton.ts";
import { foldTicks } from "./ticks.ts";

/** A guest's areas, told from its own kernel's list: files by the names of the cache's memory files. */
export function readGuestLayout(guest: GuestProcess, cache: FileCache): Layout {
  const { tid } = guest.leader;
  const files = new Map<string, CarriedFile>();
  const objects = new Map<string, SharedObject>();
  const vmas: Vma[] = [];
  const flags = proc.readVmFlags(tid);
  using pagemap = proc.openProc(tid, "pagemap");
  const { vdso } = guest.image;
  if (vdso && guest.options.vdso) files.set(vdso.hash, carried(vdso.hash, guest.options.vdso.bytes));
  for (const line of ownLines(proc.readMaps(tid), vdso)) {
    const { start, end, prot } = line;
    const advice = adviceOf(flags.get(start));
    const object = guest.options.memory?.shownBy(line);
    if (object) {
      objects.set(object.name, { name: object.name, size: object.size });
      const writable = mayBeWritten(tid, line);
      vmas.push({
        start,
        end,
        prot,
        growsDown: false,
        advice,
        backing: { kind: "shared", object: object.name, offset: line.offset, writable },
      });
      continue;
    }
    const hash = hashOfMapping(line.name);
    if (hash !== null) {
      if (!files.has(hash)) files.set(hash, cachedFile(guest, cache, hash, line));
      vmas.push({ start, end, prot, growsDown: false, advice, backing: { kind: "file", hash, offset: line.offset } });
      continue;
    }
    const { startStack } = guest.image.mm;
    const growsDown = start <= startStack && startStack < end;
    vmas.push({
      start: growsDown ? stackStart(guest, pagemap.fd, start, end) : start,
      end,
      prot,
      growsDown,
      advice,
      backing: { kind: "anon" },
    });
  }
  return { vmas, vdso, files, objects: [...objects.values()] };
}

/** What is the program's own: neither the kernel's, nor ours, nor what stands for home's vdso, with which areas beside it may have merged. */
function ownLines(lines: readonly proc.MapsLine[], vdso: Image["vdso"]): proc.MapsLine[] {
  return lines.flatMap((line) => {
    const { name, start, end } = line;
    if (name === "[vsyscall]" || isVdsoPart(line) || isEngines(line)) return [];
    if (!vdso || end <= vdso.start || vdso.end <= start) return [line];
    return [
      { ...line, end: vdso.start },
      { ...line, start: vdso.end },
    ].filter((l) => l.start < l.end);
  });
}

/** From the cache, or from the mapping itself when the cache has given it up. */
function cachedFile(guest: GuestProcess, cache: FileCache, hash: string, line: proc.MapsLine): CarriedFile {
  const open = (): number => (cache.has(hash) ? openSync(`/proc/self/fd/${cache.fd(hash)}`, "r") : openMapped(guest.leader.tid, line));
  const fd = open();
  try {
    return { hash, size: fstatSync(fd).size, open };
  } finally {
    closeSync(fd);
  }
}

/** The stack is mapped to its limit here; at home it starts where it has been used, or where it was. */
function stackStart(guest: GuestProcess, pagemap: number, start: bigint, end: bigint): bigint {
  const first = proc.ownPages(pagemap, start, end, false)[0]?.addr ?? end;
  const before = guest.image.vmas.find((v) => v.growsDown)?.start ?? end;
  return least(first, before);
}

/** Describes a frozen guest. Its registers are left as they are, so that it can go on if the move fails. */
export function captureGuest(guest: GuestProcess, layout: Layout): Image {
  const { image, leader } = guest;
  // What has not gone into the leader's queue is for all of them, unless it was sent to that one.
  const left = leader.signals.left();
  const brk = injectCall(leader, Sys.brk, [0]);
  const barriers = barriersOf(injectCall(leader, Sys.membarrier, [GET_REGISTRATIONS, 0, 0]));
  return {
    pid: image.pid,
    vmas: layout.vmas,
    objects: layout.objects,
    vdso: image.vdso,
    mm: { ...image.mm, brk },
    sigactions: guest.dispositions.bytes,
    pending: foldTicks([...ptrace.peekSiginfo(leader.tid, true), ...left.filter((i) => !isThreadDirected(i))]),
    threads: [...guest.threads.values()].map((t) => captureThread(t, t === leader ? left.filter(isThreadDirected) : t.signals.left())),
    signalsAtHome: guest.signalsAtHome,
    limits: guest.limits,
    cpuUsed: guest.cpuUsed(),
    clocks: shifted(readClocks(), guest.options.origin.shift),
    barriers,
    nice: proc.readStat(leader.tid).nice,
    ids: image.ids,
  };
}

function captureThread(guest: Guest, left: readonly Uint8Array[]): ThreadImage {
  const { tid } = guest;
  const at = SKELETON_ARGS;
  const stack = injectCall(guest, Sys.sigaltstack, [0, at]);
  assert(stack === 0n, "a guest tells its alternate stack");
  const alt = guest.memory.read(at, 24);
  const regs = new Regs();
  ptrace.getRegs(tid, regs.bytes);
  if (!nameRestarted(tid, regs))
    throw new TeselaError("E_BUSY", `thread ${guest.homeTid} waits in a call with which only this kernel can go on`);
  if (guest.cut) setInterrupted(regs, guest.cut);
  const restart = guest.restart ?? rewind(regs);
  return {
    tid: guest.homeTid,
    regs: regs.bytes,
    xstate: ptrace.getXstate(tid),
    sigmask: ptrace.getSigmask(tid),
    altStack: { sp: alt.readBigUInt64LE(0), flags: alt.readInt32LE(8), size: alt.readBigUInt64LE(16) },
    robustList: robustList(tid),
    clearTid: guest.clearTid,
    rseq: readRseq(tid),
    pending: foldTicks([...ptrace.peekSiginfo(tid, false), ...left]),
    restart,
    written: guest.written,
    waitEnd: guest.waitEnd,
    position: guest.ahead.position,
    cpuUsed: guest.cpuUsed(),
  };
}

/** What is known of a child that a guest has just made; its registers and memory are in it. */
export function childImage(parent: Guest, { pid, clearHandlers }: Birth): Image {
  const { image, dispositions, limits } = parent.process;
  const sigactions = clearHandlers ? dispositions.withoutHandlers() : Buffer.from(dispositions.bytes);
  return { ...image, pid, sigactions, pending: [], threads: [], limits, cpuUsed: { user: 0, system: 0 } };
}

function robustList(tid: number): bigint {
  const out = Buffer.alloc(16);
  const at = libc.addressOf(out);
  libc.syscall("get_robust_list", Sys.getRobustList, tid, at, at + 8n);
  return out.readBigUInt64LE(0);
}
