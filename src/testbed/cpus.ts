import { readFileSync } from "node:fs";

/** A list as the kernel writes it, `0-3,8`, cpuset(7). */
export function parseCpuList(text: string): number[] {
  return text
    .trim()
    .split(",")
    .filter((part) => part !== "")
    .flatMap((part) => {
      const [first = 0, last = first] = part.split("-").map(Number);
      return Array.from({ length: last - first + 1 }, (_, i) => first + i);
    });
}

/** The cores that this process may use. */
export function allowedCpus(): number[] {
  const line = /^Cpus_allowed_list:\s*(\S*)/m.exec(readFileSync("/proc/self/status", "utf8"));
  return parseCpuList(line?.[1] ?? "0");
}
