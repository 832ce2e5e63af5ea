/** Calls on memory: most pass the guest's filter unseen, here are the forms that do not. */
import { MADV, MAP } from "../abi/mod.ts";
import { asInt, back, engine, LOCAL } from "./forward.ts";
import type { Specials } from "./special.ts";

const MMAP_FILE = engine("mmap_file");
const MADVISE = engine("madvise");
const SHARED_MEMORY = back("shared_memory");
const HUGETLB = back("hugetlb");
const MLOCK = back("mlock");

/** Advice that throws pages away: right on anonymous memory, wrong on a copy of a file's pages. The engine knows which it is. */
const DISCARDS: readonly number[] = [MADV.DONTNEED, MADV.FREE, MADV.DONTNEED_LOCKED];

export const memory: Specials = {
  mmap: (args) => {
    const flags = asInt(args[3]);
    if (flags & MAP.HUGETLB) return HUGETLB;
    if (flags & MAP.LOCKED) return MLOCK;
    if (!(flags & MAP.ANONYMOUS)) return MMAP_FILE;
    const type = flags & MAP.TYPE;
    if (type === MAP.SHARED || type === MAP.SHARED_VALIDATE) return SHARED_MEMORY;
    // Types that do not exist, and MAP_DROPPABLE: the kernel at home judges.
    return type === MAP.PRIVATE ? LOCAL : back("mmap_type");
  },
  madvise: (args) => {
    const advice = asInt(args[2]);
    return DISCARDS.includes(advice) ? MADVISE : back(`madvise: ${advice}`);
  },
  // Nothing is attached while a process is away, so the kernel finds no segment anywhere: EINVAL, from where the memory is.
  shmdt: () => LOCAL,
};
