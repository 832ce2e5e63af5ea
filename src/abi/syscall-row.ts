/** The words that the system call table is written in. */

/** Bytes behind a pointer: a constant, or an argument (of which the kernel looks at so many bits) times a unit. */
export type Size = number | { readonly arg: number; readonly unit: number; readonly bits: 32 | 64 };

/**
 * What one argument is.
 * - `int`: a number, passed as it is; `fd`, `dirfd`: a descriptor of the program
 * - `addr`: an address that means something in the program's own memory only
 * - `path`, `string`: bytes up to a NUL, `max` of them at most, the NUL included
 * - `in`, `out`, `inout`: a buffer the kernel reads, writes, or both. `limit: "return"`: it writes `result * unit` bytes.
 *   `positive`: it writes only when the result is above 0. `always`: it writes even when the call fails.
 * - `sized`: a structure whose first 32 bits tell its own size, at most `max`
 * - `page`: up to one page, as much as can be read (mount data)
 * - `shape`: what it is depends on the other arguments; a handler of its own knows
 */
export type Arg =
  | { readonly kind: "int" | "fd" | "dirfd" | "addr" | "path" | "page" | "shape" }
  | { readonly kind: "string"; readonly max: number }
  | { readonly kind: "in"; readonly size: Size; readonly max: number }
  | {
      readonly kind: "out";
      readonly size: Size;
      readonly limit: boolean;
      readonly unit: number;
      readonly positive: boolean;
      readonly always: boolean;
    }
  | { readonly kind: "inout"; readonly size: Size; readonly always: boolean }
  | { readonly kind: "sized"; readonly min: number; readonly max: number };

/**
 * Who answers a call of a program that is away.
 * - `local`: the kernel it runs on, natively
 * - `home`: its deputy, described by the arguments alone
 * - `special`: its deputy in the end, but a handler of its own looks at the arguments first
 * - `engine`: both engines have to act
 * - `back`: nobody away: the process goes home and repeats the call there
 */
export type Route = "local" | "home" | "special" | "engine" | "back";

/** `full`: every form; `part`: some forms bring the process home; `home`: all of them do. */
export type Status = "full" | "part" | "home";

/** True when the low 32 bits of argument `arg`, masked, equal `equals`. */
export interface Condition {
  readonly arg: number;
  readonly mask: number;
  readonly equals: number;
}

export interface SyscallRow {
  readonly nr: number;
  readonly name: string;
  readonly args: readonly Arg[];
  readonly route: Route;
  readonly status: Status;
  /**
   * When the call may pass the filter of a guest unseen: never (absent), always (`[]` of conditions: no condition to meet),
   * or when all conditions of one of the lists hold.
   */
  readonly native?: "always" | readonly (readonly Condition[])[];
  /** It may wait for something other than a disk. */
  readonly blocking: boolean;
  /** Linux ends it with EINTR on a stop signal or a tracer's interrupt though no handler ran (signal(7)): start it again. */
  readonly restartOnEintr: boolean;
  readonly note?: string;
}

export const int: Arg = { kind: "int" };
export const fd: Arg = { kind: "fd" };
export const dirfd: Arg = { kind: "dirfd" };
export const addr: Arg = { kind: "addr" };
export const path: Arg = { kind: "path" };
export const page: Arg = { kind: "page" };
export const shape: Arg = { kind: "shape" };
export const string = (max: number): Arg => ({ kind: "string", max });
/** `arg(2)`: as many bytes as argument 2, a size_t, says; `arg(2, 8)`: eight times as many. */
export const arg = (n: number, unit = 1): Size => ({ arg: n, unit, bits: 64 });
/** The same where the argument is an int. */
export const arg32 = (n: number, unit = 1): Size => ({ arg: n, unit, bits: 32 });
/** More than `max` bytes are not looked at: the kernel refuses them by the number alone. */
export const into = (size: Size, max = Number.POSITIVE_INFINITY): Arg => ({ kind: "in", size, max });
export const out = (size: Size): Arg => ({ kind: "out", size, limit: false, unit: 1, positive: false, always: false });
export const outIfPositive = (size: Size): Arg => ({ kind: "out", size, limit: false, unit: 1, positive: true, always: false });
/** The result counts what was written, in units. */
export const filled = (size: Size, unit = 1): Arg => ({ kind: "out", size, limit: true, unit, positive: false, always: false });
export const inout = (size: Size): Arg => ({ kind: "inout", size, always: false });
export const inoutAlways = (size: Size): Arg => ({ kind: "inout", size, always: true });
export const sized = (min: number, max: number): Arg => ({ kind: "sized", min, max });

export interface RowOptions {
  readonly blocking?: boolean;
  readonly restart?: boolean;
  readonly note?: string;
  readonly part?: boolean;
  /** All forms of it bring the process home, though it is not routed so. */
  readonly home?: boolean;
  readonly native?: readonly (readonly Condition[])[];
}

const row =
  (route: Route) =>
  (nr: number, name: string, args: readonly Arg[] = [], o: RowOptions = {}): SyscallRow => ({
    nr,
    name,
    args,
    route,
    status: route === "back" || o.home ? "home" : o.part ? "part" : "full",
    ...(route === "local" ? { native: o.native ?? "always" } : o.native ? { native: o.native } : {}),
    blocking: o.blocking ?? false,
    restartOnEintr: o.restart ?? false,
    ...(o.note === undefined ? {} : { note: o.note }),
  });

export const local = row("local");
export const home = row("home");
export const special = row("special");
export const engine = row("engine");
const backRow = row("back");
/** `why` names the reason in the log and in the compatibility page. */
export const back = (nr: number, name: string, why: string): SyscallRow => backRow(nr, name, [], { note: why });
/** A number that Linux x86-64 has no call for (any more): the kernel at home says ENOSYS. */
export const absent = (nr: number, name: string): SyscallRow => home(nr, name, [], { note: "not a call of this kernel: ENOSYS from home" });

/** Argument `n` is one of these values. */
export const oneOf = (n: number, values: readonly number[]): readonly (readonly Condition[])[] =>
  values.map((equals) => [{ arg: n, mask: 0xffffffff, equals: equals >>> 0 }]);
