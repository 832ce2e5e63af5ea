import { assert, TeselaError } from "../base/mod.ts";
import {
  dropPages,
  type FileHashes,
  type Image,
  MM_FIELDS,
  type PageChunk,
  PageWriter,
  reshape,
  type Range,
  type RawCall,
  type ThreadImage,
  touches,
  type Vma,
} from "../image/mod.ts";
import { isErrno } from "../sys/mod.ts";
import { barriersOf, GET_REGISTRATIONS, register } from "./barriers.ts";
import { readLayout } from "./capture-home.ts";
import type { Sink } from "./carry.ts";
import type { Deputy } from "./deputy.ts";
import type { HomeProcess } from "./home-process.ts";
import { Sys } from "./numbers.ts";

const PR_SET_MM = 35;
const PR_SET_MM_MAP = 14;
const MM_MAP_BYTES = 104;
const ROBUST_HEAD = 24;
const SS_ONSTACK = 1;

/** The deputy taking its user area back. */
export class HomeSink implements Sink, Disposable {
  private readonly process: HomeProcess;
  private readonly hashes: FileHashes;
  private readonly pages: PageWriter;
  private image: Image | null = null;

  constructor(process: HomeProcess, hashes: FileHashes) {
    this.process = process;
    this.hashes = hashes;
    this.pages = new PageWriter(process.pid);
  }

  async prepare(image: Image, huge: readonly Range[]): Promise<readonly { start: bigint; end: bigint }[]> {
    this.image = image;
    const { pid } = this.process;
    const { deputy } = this.process.leader;
    const { extents } = this.process;
    if (image.vmas.some((v) => extents.some((e) => v.start < e.end && v.end > e.start))) {
      throw new TeselaError("E_CANTMOVE", `process ${pid} has mapped memory where its deputy is`, { reasons: ["low_address"] });
    }
    const have = readLayout(pid, this.hashes, extents, (id) => this.process.group?.shown(id) ?? null).vmas;
    const plan = reshape(have, image.vmas);
    await run(deputy, "mapping memory at home", plan.calls);
    // Pages that were kept, as those with the arguments, are old by now; those of zeros or clean ones do not come.
    await deputy.calls(image.vmas.map(dropPages));
    this.pages.expect(huge.filter((r) => extents.every((e) => r.end <= e.start || r.start >= e.end)));
    return plan.lost.map((v: Vma) => ({ start: v.start, end: v.end }));
  }

  write(chunk: PageChunk): void {
    for (const { start, end } of this.process.extents) assert(!touches(chunk, start, end), "pages come for the program's own areas");
    this.pages.write(chunk);
  }

  [Symbol.dispose](): void {
    this.pages[Symbol.dispose]();
  }

  /** Everything but what {@link land} does, the registers and the signal masks. */
  async finish(): Promise<void> {
    const { image, process } = this;
    if (!image || image.threads.length === 0) throw new TeselaError("E_PROTOCOL", "an image without a thread came home");
    const { deputy } = process.leader;
    const mm = Buffer.alloc(MM_MAP_BYTES);
    MM_FIELDS.forEach((f, i) => {
      mm.writeBigUInt64LE(image.mm[f], 8 * i);
    });
    mm.writeInt32LE(-1, 100);
    deputy.poke(deputy.scratch, mm);
    const calls = [{ nr: Sys.prctl, args: [PR_SET_MM, PR_SET_MM_MAP, deputy.scratch, MM_MAP_BYTES, 0] }];
    await run(deputy, "restoring the process at home", calls);
    if (image.barriers !== 0) {
      const have = barriersOf(await deputy.call(Sys.membarrier, GET_REGISTRATIONS, 0, 0));
      await deputy.calls(register(image.barriers, have));
    }
    for (const thread of image.threads) {
      const own = process.threads.get(thread.tid)?.deputy;
      if (!own) throw new TeselaError("E_PROTOCOL", `thread ${thread.tid} came home, and is not of this process`);
      const stack = Buffer.alloc(24);
      stack.writeBigUInt64LE(thread.altStack.sp, 0);
      stack.writeInt32LE(thread.altStack.flags & ~SS_ONSTACK, 8);
      stack.writeBigUInt64LE(thread.altStack.size, 16);
      own.poke(own.scratch + STACK_AT, stack);
      await run(own, "restoring the process at home", [{ nr: Sys.sigaltstack, args: [own.scratch + STACK_AT, 0] }]);
    }
  }

  /** What must not be there, or not twice, should the process stay away after all: the last thing before it goes on at home. */
  async land(deputy: Deputy, thread: ThreadImage): Promise<void> {
    await run(deputy, "restoring the process at home", [{ nr: Sys.setRobustList, args: [thread.robustList, ROBUST_HEAD] }]);
    // Answers with the thread's id, whatever the address.
    await deputy.call(Sys.setTidAddress, thread.clearTid);
    if (thread.rseq)
      await run(deputy, "restoring rseq", [{ nr: Sys.rseq, args: [thread.rseq.pointer, thread.rseq.size, 0, thread.rseq.signature] }]);
  }
}
const STACK_AT = 128n;

async function run(deputy: Deputy, what: string, calls: readonly RawCall[]): Promise<void> {
  const results = await deputy.calls(calls);
  const bad = results.findIndex(isErrno);
  if (bad < 0) return;
  const errno = Number(-(results[bad] as bigint));
  throw new TeselaError(errno === 12 ? "E_NOMEM" : "E_INTERNAL", `${what}: call ${calls[bad]?.nr} failed with errno ${errno}`);
}
