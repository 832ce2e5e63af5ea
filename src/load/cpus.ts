import { glibcBits, programFeatures } from "../abi/mod.ts";
import { readSmall } from "./read.ts";
import { readFileSync } from "node:fs";

/** Numbers of the CPUs that sched_setaffinity(2), and the cpuset of its control group, allow this process. */
export function affinityCpus(root = ""): number[] {
  return readList(/^Cpus_allowed_list:\s*(\S+)$/m.exec(readSmall(`${root}/proc/self/status`) ?? "")?.[1] ?? "0");
}

/** `0-3,8` is five numbers. */
export function readList(list: string): number[] {
  return list.split(",").flatMap((part) => {
    const [first = "0", last = first] = part.split("-");
    return Array.from({ length: Number(last) - Number(first) + 1 }, (_, i) => Number(first) + i);
  });
}

/** CPU features that glibc chooses by: bits of GLIBC_FEATURES. */
export function cpuFeatures(root = ""): number {
  const text = readFileSync(`${root}/proc/cpuinfo`, "latin1");
  return glibcBits(programFeatures(/^flags\s*:\s*(.*)$/m.exec(text)?.[1] ?? ""));
}
