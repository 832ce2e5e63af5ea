import koffi from "koffi";
import { SysError } from "./error.ts";

/**
 * The C library, bound once. Nothing here is checked: callers hand in buffers that live through the call,
 * and turn -1 into a SysError with {@link failed}.
 */
const libc = koffi.load("libc.so.6");

type N = number | bigint;
type Buf = Uint8Array | null;

export const ptraceBuf = libc.func("long ptrace(long, int, size_t, void *)") as (req: number, pid: number, addr: N, data: Buf) => number;
export const ptraceNum = libc.func("ptrace", "long", ["long", "int", "size_t", "size_t"]) as (
  req: number,
  pid: number,
  addr: N,
  data: N,
) => number;
export const waitpid = libc.func("int waitpid(int, void *, int)") as (pid: number, status: Buf, flags: number) => number;
export const processVmReadv = libc.func("long process_vm_readv(int, void *, ulong, void *, ulong, ulong)") as VmCall;
export const processVmWritev = libc.func("long process_vm_writev(int, void *, ulong, void *, ulong, ulong)") as VmCall;
export const sendmsg = libc.func("long sendmsg(int, void *, int)") as (fd: number, msg: Buf, flags: number) => number;
export const socketpair = libc.func("int socketpair(int, int, int, void *)") as (d: number, t: number, p: number, sv: Buf) => number;
export const close = libc.func("int close(int)") as (fd: number) => number;
export const kill = libc.func("int kill(int, int)") as (pid: number, sig: number) => number;
export const prlimit = libc.func("int prlimit(int, int, void *, void *)") as (pid: number, res: number, set: Buf, get: Buf) => number;
export const schedSetaffinity = libc.func("int sched_setaffinity(int, size_t, void *)") as (pid: number, bytes: number, set: Buf) => number;
export const memfdCreate = libc.func("int memfd_create(const char *, uint)") as (name: string, flags: number) => number;
export const fcntl = libc.func("fcntl", "int", ["int", "int", "size_t"]) as (fd: number, cmd: number, arg: N) => number;
/** glibc's malloc: gives its free pages back. */
export const mallocTrim = libc.func("int malloc_trim(size_t)") as (keep: N) => number;

const syscallNum = libc.func("syscall", "long", ["long", "long", "long", "long", "long", "long", "long"]) as (
  nr: number,
  ...args: [N, N, N, N, N, N]
) => number | bigint;

type VmCall = (pid: number, local: Buf, nLocal: N, remote: Buf, nRemote: N, flags: N) => number;

/** Tells errno, or sets it, as only a test would. */
export const errno = (set?: number): number => (set === undefined ? koffi.errno() : koffi.errno(set));

/** The error of the call that just returned -1. */
export const failed = (call: string): SysError => new SysError(call, koffi.errno());

/** A call that fails in another way each time is given up. */
const MOST_ATTEMPTS = 8;

/**
 * The result of a call, or -errno. What the runtime does between the end of a call and our look at errno may change that, so a call that
 * has failed is made again until it says the same twice. For calls that do nothing when they fail.
 */
export function settled(attempt: () => number | bigint): number {
  let last = 0;
  for (let attempts = 0; ; attempts++) {
    const n = Number(attempt());
    if (n >= 0) return n;
    const error = koffi.errno();
    if (error === last || attempts === MOST_ATTEMPTS) return -error;
    last = error;
  }
}

/** Throws when a libc call returned -1; passes its result on otherwise. */
export function must(call: string, result: number | bigint): number {
  if (result === -1 || result === -1n) throw failed(call);
  return Number(result);
}

/** syscall(2) with integer arguments. @throws SysError */
export function syscall(call: string, nr: number, a: N = 0, b: N = 0, c: N = 0, d: N = 0, e: N = 0, f: N = 0): number {
  return must(call, syscallNum(nr, a, b, c, d, e, f));
}

/** Where a buffer's bytes are in this process. Valid while the buffer is referenced. */
export const addressOf = (b: Uint8Array): bigint => koffi.address(b) as bigint;

// --- posix_spawn(3): libuv would reap the stops of children of child_process, so tracees are started with this.
const SPAWN_ATTR_SIZE = 336;
const SPAWN_ACTIONS_SIZE = 80;
const posixSpawn = libc.func("posix_spawn", "int", ["void *", "str", "void *", "void *", "void *", "void *"]);
const actionsInit = libc.func("int posix_spawn_file_actions_init(void *)");
const actionsDestroy = libc.func("int posix_spawn_file_actions_destroy(void *)");
const actionsDup2 = libc.func("int posix_spawn_file_actions_adddup2(void *, int, int)");
const actionsCloseFrom = libc.func("int posix_spawn_file_actions_addclosefrom_np(void *, int)");
const attrInit = libc.func("int posix_spawnattr_init(void *)");
const attrFlags = libc.func("int posix_spawnattr_setflags(void *, short)");
const attrSigdefault = libc.func("int posix_spawnattr_setsigdefault(void *, void *)");
const attrSigmask = libc.func("int posix_spawnattr_setsigmask(void *, void *)");
const POSIX_SPAWN_SETSIGDEF = 0x04;
const POSIX_SPAWN_SETSIGMASK = 0x08;

/**
 * Starts `path` with `argv` and no environment, with `fds[i]` as its descriptor i and no other descriptor,
 * default signal dispositions and an empty signal mask.
 * @returns its PID. @throws SysError
 */
export function spawn(path: string, argv: readonly string[], fds: readonly number[]): number {
  const actions = Buffer.alloc(SPAWN_ACTIONS_SIZE);
  const attr = Buffer.alloc(SPAWN_ATTR_SIZE);
  const strings = argv.map((s) => Buffer.from(`${s}\0`));
  const vector = Buffer.alloc(8 * (argv.length + 1));
  strings.forEach((s, i) => {
    vector.writeBigUInt64LE(addressOf(s), 8 * i);
  });
  const pidOut = Buffer.alloc(4);
  actionsInit(actions);
  try {
    fds.forEach((fd, i) => {
      actionsDup2(actions, fd, i);
    });
    actionsCloseFrom(actions, fds.length);
    attrInit(attr);
    attrFlags(attr, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    attrSigdefault(attr, Buffer.alloc(128, 0xff));
    attrSigmask(attr, Buffer.alloc(128));
    const error = posixSpawn(pidOut, path, actions, attr, vector, Buffer.alloc(8)) as number;
    if (error !== 0) throw new SysError(`posix_spawn ${path}`, error);
  } finally {
    actionsDestroy(actions);
  }
  return pidOut.readInt32LE(0);
}
