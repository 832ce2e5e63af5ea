/** System V IPC flags and commands. */
export const IPC = {
  RMID: 0x0,
  SET: 0x1,
  STAT: 0x2,
  INFO: 0x3,
  "64": 0x100,
  CREAT: 0x200,
  EXCL: 0x400,
  NOWAIT: 0x800,
} as const;

/** Commands of semctl(2). */
export const SEM = {
  GETPID: 0xb,
  GETVAL: 0xc,
  GETALL: 0xd,
  GETNCNT: 0xe,
  GETZCNT: 0xf,
  SETVAL: 0x10,
  SETALL: 0x11,
  SEM_STAT: 0x12,
  SEM_INFO: 0x13,
  SEM_STAT_ANY: 0x14,
  SEM_UNDO: 0x1000,
} as const;

/** Commands of msgctl(2) and flags of msgrcv(2). */
export const MSGQ = {
  STAT: 0xb,
  INFO: 0xc,
  STAT_ANY: 0xd,
  NOERROR: 0x1000,
  EXCEPT: 0x2000,
  COPY: 0x4000,
} as const;

/** Commands of shmctl(2). */
export const SHM = {
  RMID: 0,
  SET: 1,
  STAT: 2,
  IPC_INFO: 3,
  LOCK: 11,
  UNLOCK: 12,
  SHM_STAT: 13,
  SHM_INFO: 14,
  SHM_STAT_ANY: 15,
} as const;
