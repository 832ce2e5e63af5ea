// tidy: table
/**
 * What each word of `cantmove` says of a process, after "it": why it does not leave home, or not for that node, and what there is to do about it.
 * docs/compat.md has the same words, with more to them.
 */
export const REASONS: Readonly<Record<string, string>> = {
  leader_exit: "goes on without its first thread, which has ended",
  unshared_files: "has a thread with descriptors of its own",
  clone_vm: "shares its memory with another process, as during a vfork: try again",
  monkey: "has a shared mapping of a file that it may write to; a Java machine goes with -XX:-UsePerfData",
  shared_memory: "shares memory with a process that cannot leave home, or is another user's",
  process_vm: "has the memory of another process read or written, or has its own, away from home",
  other_user: "shares memory with a process that is not yours to move: root may",
  away: "shares memory with a process that is away: bring that home first",
  sysv_shm: "has System V shared memory that others could attach",
  mmap_dev: "has mapped a device",
  hugetlb: "has mapped pages of the huge page pool",
  io_uring: "has an io_uring, by which the kernel reads and writes its memory",
  aio: "has asynchronous I/O, by which the kernel reads and writes its memory",
  userfaultfd: "has its memory filled by way of userfaultfd",
  perf_event: "has its memory watched by perf",
  uprobes: "has probes of the kernel in its memory",
  mem_lock: "has locked memory",
  rt_sched: "has a real-time or deadline scheduling policy: chrt -o -p 0 PID takes it back",
  cpu_limit: "has a limit on its CPU time, which only one kernel can count: prlimit --cpu=unlimited",
  cpu_timer: "has armed a timer that counts CPU time",
  own_view: "has a file of its own corner of /proc open that would tell of its deputy",
  seccomp: "has a system call filter of its own",
  traced: "is being traced: end the debugger first",
  ptrace: "traces another process",
  stopped: "is stopped: continue it first",
  system: "is a kernel thread, or one that the node itself stands on",
  mask: "is not to go to that node: tesela ctl mask, or --force",
  blocked: "finds no way in: that node takes no guests",
  ended: "has ended",
  code_32bit: "runs 32-bit code",
  personality: "runs under another execution domain than ordinary programs",
  big_mapping: "maps a file of more than 256 MiB privately",
  low_address: "uses addresses that the engine needs for itself",
  no_syscall: "holds no syscall instruction that it could be made to use",
  time_namespace: "is in a time namespace that is not its node's",
  clocks_differ: "would see its clock jump: that node was booted apart, and its kernel has no time namespaces",
  kernel_differs: "knows a vdso that cannot be made fit for that node's kernel",
  vdso: "is in the middle of its kernel's vdso: it moves a moment later",
  cpu_numbers: "would meet CPU numbers there that its home does not have",
  cpu_features: "might use CPU features that the node lacks: tesela run --portable keeps to those that all have",
  cpu_state: "has CPU registers in use that the node has no place for",
  vfork: "shares its memory with a child until that is another program: try again",
  guest_limit: "would be one guest more than the node takes: guests.processes in its tesela.toml",
};

/** What keeps a process from moving by itself, beside the reasons that keep it from moving at all. */
const HELD: Readonly<Record<string, string>> = {
  lock: "is locked, as tesela run -L and nomig do: tesela migrate moves it all the same",
  stay: "is where no process moves out by itself: tesela ctl nostay there takes that back",
  lstay: "is at home where no process does so by itself: tesela ctl nolstay there takes that back",
};

const HELD_BY = /may not move by itself \(([\w, ]+)\)/;

/** What the words of a decision to stay mean; nothing of one that has none. */
export function explainedHold(why: string): string[] {
  const words = HELD_BY.exec(why)?.[1]?.split(", ") ?? [];
  const known = { ...REASONS, ...HELD };
  return words.flatMap((w) => (Object.hasOwn(known, w) ? [`${w}: it ${known[w]}`] : []));
}

const LISTS_WORDS = /cannot (leave home|move to)/;

/** What the words of a refusal mean, for one that only names them; undefined for others. */
export function explained(message: string, reasons: unknown): string | undefined {
  if (!LISTS_WORDS.test(message) || !Array.isArray(reasons)) return undefined;
  const known = reasons.filter((r): r is string => typeof r === "string" && Object.hasOwn(REASONS, r));
  const [only] = known;
  if (only === undefined) return undefined;
  return known.length === 1 ? `it ${REASONS[only]}` : known.map((r) => `${r}: it ${REASONS[r]}`).join("; ");
}
