import { readdirSync, readFileSync } from "node:fs";

/**
 * Tasks that run or want to, in this /proc view, without the one that asks. Threads count one by one; a process with one
 * thread is read once.
 */
export function countRunnable(root = "", self: number = process.pid): number {
  let n = 0;
  for (const pid of numbers(`${root}/proc`)) {
    if (pid === self) continue;
    const stat = readStat(`${root}/proc/${pid}/stat`);
    if (stat === null) continue;
    if (stat.threads <= 1) n += stat.state === "R" ? 1 : 0;
    else
      for (const tid of numbers(`${root}/proc/${pid}/task`)) n += readStat(`${root}/proc/${pid}/task/${tid}/stat`)?.state === "R" ? 1 : 0;
  }
  return n;
}

function readStat(path: string): { state: string; threads: number } | null {
  let text: string;
  try {
    text = readFileSync(path, "latin1");
  } catch (e) {
    if (gone(e)) return null;
    throw e;
  }
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return { state: fields[0] ?? "?", threads: Number(fields[17]) };
}

/** The entries of a directory that are numbers; none when the process ended meanwhile. */
function numbers(dir: string): number[] {
  try {
    return readdirSync(dir).map(Number).filter(Number.isInteger);
  } catch (e) {
    if (gone(e)) return [];
    throw e;
  }
}

const gone = (e: unknown): boolean => ["ENOENT", "ESRCH"].includes((e as NodeJS.ErrnoException).code ?? "");
