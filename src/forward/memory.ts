/** Calls on memory: most pass the guest's filter unseen, here are the forms that do not. */
import { MAP } from "../abi/mod.ts";
import { asInt, back, engine, LOCAL } from "./forward.ts";
import type { Specials } from "./special.ts";

const MMAP_FILE = engine("mmap_file");
const SHARED_MEMORY = back("shared_memory");
const HUGETLB = back("hugetlb");
const MLOCK = back("mlock");

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
  madvise: (args) => back(`madvise: ${asInt(args[2])}`),
  // Nothing is attached while a process is away, so the kernel finds no segment anywhere: EINVAL, from where the memory is.
  shmdt: () => LOCAL,
};
