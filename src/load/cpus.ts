import { glibcBits, programFeatures } from "../abi/mod.ts";
import { readSmall } from "./read.ts";
import { readFileSync } from "node:fs";

/** CPUs that sched_setaffinity(2), and the cpuset of its control group, allow this process. */
export function affinityCpus(root = ""): number {
  const list = /^Cpus_allowed_list:\s*(\S+)$/m.exec(readSmall(`${root}/proc/self/status`) ?? "")?.[1] ?? "0";
  return countList(list);
}

/** `0-3,8` is 5. */
export function countList(list: string): number {
  let n = 0;
  for (const part of list.split(",")) {
    const [first = "0", last = first] = part.split("-");
    n += Number(last) - Number(first) + 1;
  }
  return n;
}

/** CPU features that glibc chooses by: bits of GLIBC_FEATURES. */
export function cpuFeatures(root = ""): number {
  const text = readFileSync(`${root}/proc/cpuinfo`, "latin1");
  return glibcBits(programFeatures(/^flags\s*:\s*(.*)$/m.exec(text)?.[1] ?? ""));
}
