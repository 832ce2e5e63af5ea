// tidy: table
/** Calls whose arguments mean what a command among them says, one row of arguments a command. What is not here brings a process home. */
import { SHM } from "./ipc.ts";
import { SHM_INFO, SHMID_DS, SHMINFO } from "./structs.ts";
import { type Arg, addr, arg, dirfd, fd, inout, int, into, out, path, string } from "./syscall-row.ts";

export interface CommandTable {
  /** Which argument is the command. */
  readonly key: number;
  readonly commands: Readonly<Record<number, readonly Arg[]>>;
}

/** KEY_MAX_DESC_SIZE, and the size of a type's name (security/keys). */
const DESCRIPTION = string(4096);
const TYPE = string(32);
/** What a buffer holds goes in, since the kernel writes all, a part or nothing of it and returns how much there is. */
const answer = inout(arg(3));

/** Operations of keyctl(2) by number (linux/keyctl.h). What works on more memory than one buffer (20, 23 to 28) is not here. */
const KEYCTL: Readonly<Record<number, readonly Arg[]>> = {
  0: [int, int, int],
  1: [int, DESCRIPTION],
  2: [int, int, into(arg(3), 4096), int],
  3: [int, int],
  4: [int, int, int, int],
  5: [int, int, int],
  6: [int, int, answer, int],
  7: [int, int],
  8: [int, int, int],
  9: [int, int, int],
  10: [int, int, TYPE, DESCRIPTION, int],
  11: [int, int, answer, int],
  12: [int, int, into(arg(3), 1 << 20), int, int],
  13: [int, int, int, int],
  14: [int, int],
  15: [int, int, int],
  16: [int, int],
  17: [int, int, answer, int],
  18: [int],
  19: [int, int, int, int, int],
  21: [int, int],
  22: [int, int, int],
  29: [int, int, TYPE, DESCRIPTION],
  30: [int, int, int, int, int],
  31: [int, inout(arg(2)), int],
  32: [int, int, fd, int],
};

const KEY = string(256);
/** Commands of fsconfig(2) by number (linux/mount.h). */
const FSCONFIG: Readonly<Record<number, readonly Arg[]>> = {
  0: [fd, int, KEY, addr, int],
  1: [fd, int, KEY, KEY, int],
  2: [fd, int, KEY, into(arg(4), 1 << 20), int],
  3: [fd, int, KEY, path, dirfd],
  4: [fd, int, KEY, path, dirfd],
  5: [fd, int, KEY, addr, fd],
  6: [fd, int, addr, addr, int],
  7: [fd, int, addr, addr, int],
  8: [fd, int, addr, addr, int],
};

/** Rules of landlock_add_rule(2): beneath a path, and on a port (linux/landlock.h). */
const LANDLOCK: Readonly<Record<number, readonly Arg[]>> = {
  1: [fd, int, into(12), int],
  2: [fd, int, into(16), int],
};

/** shmctl(2): segments live at home, where nothing of them is mapped while a process is away. */
const SHMCTL: Readonly<Record<number, readonly Arg[]>> = {
  [SHM.RMID]: [int, int, addr],
  [SHM.SET]: [int, int, into(SHMID_DS.size)],
  [SHM.STAT]: [int, int, out(SHMID_DS.size)],
  [SHM.IPC_INFO]: [int, int, out(SHMINFO.size)],
  [SHM.LOCK]: [int, int, addr],
  [SHM.UNLOCK]: [int, int, addr],
  [SHM.SHM_STAT]: [int, int, out(SHMID_DS.size)],
  [SHM.SHM_INFO]: [int, int, out(SHM_INFO.size)],
  [SHM.SHM_STAT_ANY]: [int, int, out(SHMID_DS.size)],
};

/** kcmp(2) by its type: numbers, but for a target of epoll (struct kcmp_epoll_slot). */
const NUMBERS: readonly Arg[] = [int, int, int, int, int];
const KCMP: Readonly<Record<number, readonly Arg[]>> = {
  0: NUMBERS,
  1: NUMBERS,
  2: NUMBERS,
  3: NUMBERS,
  4: NUMBERS,
  5: NUMBERS,
  6: NUMBERS,
  7: [int, int, int, int, into(12)],
};

export const COMMAND_TABLES: Readonly<Record<string, CommandTable>> = {
  keyctl: { key: 0, commands: KEYCTL },
  fsconfig: { key: 1, commands: FSCONFIG },
  landlock_add_rule: { key: 1, commands: LANDLOCK },
  shmctl: { key: 1, commands: SHMCTL },
  kcmp: { key: 2, commands: KCMP },
};
