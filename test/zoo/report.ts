import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { type MoverOptions, total } from "./mover.ts";
import type { Result } from "./run.ts";
import { ZOO } from "./table/mod.ts";

/** What a run of the zoo came to, for people. */

export interface NotRun {
  readonly name: string;
  readonly why: string;
}

/** `fork 3, exec 1`, the most frequent first. */
const counts = (map: ReadonlyMap<string, number>): string =>
  [...map]
    .sort((a, b) => b[1] - a[1])
    .map(([what, n]) => `${what} ${n}`)
    .join(", ");

export function line(r: Result): string {
  const { made, refused, failed } = r.moves;
  const parts = [
    `${r.ok ? "ok  " : "FAIL"}  ${r.name}: ${r.verdict}`,
    `      ${r.seconds.map((s) => s.toFixed(1)).join(" s, moved ")} s; ${total(made)} moves (${counts(made)})`,
  ];
  if (refused.size > 0) parts.push(`      refused: ${counts(refused)}`);
  if (failed.size > 0) parts.push(`      failed: ${counts(failed)}`);
  if (r.homecomings.size > 0) parts.push(`      came home: ${counts(r.homecomings)}`);
  for (const trouble of r.troubles.slice(0, MOST_TROUBLES)) parts.push(`      ${trouble}`);
  return parts.join("\n");
}
const MOST_TROUBLES = 6;

/** Names of processes that are told of each program, and programs that are told of as slow. */
const MOST_KINDS = 5;
const SLOWEST = 12;
const factor = ({ seconds: [home, moved] }: Result): number => moved / Math.max(home, 0.1);

/** docs/zoo.md. */
export function markdown(results: readonly Result[], notRun: readonly NotRun[], o: MoverOptions): string {
  const kernel = /^Linux version (\S+)/.exec(readFileSync("/proc/version", "utf8"))?.[1] ?? "?";
  const rows = results.map((r) => {
    const { made, refused, failed } = r.moves;
    const kinds = [...made].sort((a, b) => b[1] - a[1]).slice(0, MOST_KINDS);
    const names = `${kinds.map(([n, times]) => `\`${n}\` ${times}`).join(", ")}${made.size > kinds.length ? ", ..." : ""}`;
    const note = ZOO.find((p) => p.name === r.name)?.compare?.note ?? "all";
    const cells = [
      r.name,
      r.ok ? "same" : r.verdict.split("\n")[0]?.replaceAll("|", "\\|"),
      total(made),
      names,
      counts(refused),
      total(failed) || "",
    ];
    return `| ${[...cells, counts(r.homecomings), r.seconds.map((s) => s.toFixed(1)).join(" / "), note].join(" | ")} |`;
  });
  const same = results.filter((r) => r.ok).length;
  const moves = results.reduce((sum, r) => sum + total(r.moves.made), 0);
  const slowest = [...results].sort((a, b) => factor(b) - factor(a)).slice(0, SLOWEST);
  return `# The program zoo

Real, unmodified programs, each run twice in the same folder with the same input: once at home, once with every process of it moved to a random one
of three nodes over and over while it runs. Output, exit status and all files have to be the same. A move that is refused for a named reason is no
failure: the process then goes on where it is.

\`\`\`
test/zoo/setup                          # installs the Debian packages of all of them, as root
npm run zoo                             # all
npm run zoo -- gzip make --seed 7       # some, with the seed of an earlier run
npm run zoo -- --moves 50-500           # pause between two rounds of moves, in milliseconds
npm run zoo -- --turns 1                # each program once: shorter
npm run zoo -- --report docs/zoo.md     # writes this page
\`\`\`

The seed repeats where processes are sent to and the pauses between; what they are at when it happens differs from run to run. The table of
programs is [test/zoo/table](../test/zoo/table). A small part of them runs in \`npm test\`.

## The last run

${results.length} programs ran, ${same} of them were the same, with ${moves} moves; ${notRun.length} did not run. Seed ${o.seed}, a round of moves every ${o.gap.join(" to ")} ms,
${availableParallelism()} cores shared by all three nodes, Linux ${kernel}.

*Moves* counts those made, and of processes of which names; *refused* the reasons for which a process stayed (docs/compat.md); *failed* moves that
ended in another error and left the process where it was; *came home* why processes did so by themselves. Times are of one run on a busy machine.

Moved, these took the longest in comparison, the time that the moves themselves took included:
${slowest.map((r) => `${r.name} ${factor(r).toFixed(1)} times`).join(", ")}.

| program | result | moves | of | refused | failed | came home | seconds at home / moved | compared |
|---|---|---:|---|---|---:|---|---|---|
${rows.join("\n")}
${notRun.length === 0 ? "" : `\nNot run:\n\n${notRun.map((n) => `- ${n.name}: ${n.why}`).join("\n")}\n`}`;
}
