/**
 * Builds the test programs when they are asked for. An executable is kept under a name with the hash of everything it
 * was made of, so an edit makes a new one and nothing else does.
 *
 * They lie in `.cache/programs` of the package, which is wherever the package is, on namespace hosts too.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const SOURCES = fileURLToPath(new URL(".", import.meta.url));
const CACHE = fileURLToPath(new URL("../../.cache/programs", import.meta.url));
const BUILD_SECONDS = 60;

interface Recipe {
  /** File in this folder. */
  readonly source: string;
  /** What else it is made of: other sources, and headers that only it has. */
  readonly parts?: readonly string[];
  readonly flags?: readonly string[];
  /** `gcc` unless said otherwise. `i386` is assembled and linked by binutils, for 32-bit code without 32-bit libraries. */
  readonly compiler?: "gcc" | "musl" | "i386";
}

const COMMON = ["-std=gnu17", "-O2", "-g", "-Wall", "-Wextra", "-Werror", "-fno-strict-aliasing"];
export const PROGRAMS = {
  abort: { source: "abort.c" },
  advice: { source: "advice.c" },
  flood: { source: "flood.c" },
  grow: { source: "grow.c" },
  deep: { source: "deep.c" },
  alike: { source: "alike.c", flags: ["-pthread"] },
  again: { source: "again.c" },
  barriers: { source: "barriers.c" },
  births: { source: "births.c" },
  breakout: { source: "breakout.c" },
  "brk-mmap": { source: "brk-mmap.c" },
  busy: { source: "busy.c" },
  "cont-blocked": { source: "cont-blocked.c" },
  calls: { source: "calls.c" },
  clocks: { source: "clocks.c" },
  vdso: { source: "vdso.c" },
  "cpu-time": { source: "cpu-time.c", flags: ["-pthread"] },
  die: { source: "die.c" },
  ends: { source: "ends.c", flags: ["-pthread"] },
  "echo-server": { source: "echo-server.c" },
  family: { source: "family.c" },
  files: { source: "files.c" },
  fills: { source: "fills.c", parts: ["nuisance.h"] },
  "files-musl": { source: "files.c", compiler: "musl", flags: ["-static"] },
  fpe: { source: "fpe.c", flags: ["-lm"] },
  group: { source: "group.c" },
  grows: { source: "grows.c" },
  herd: { source: "herd.c" },
  lookups: { source: "lookups.c", parts: ["told.h"], flags: ["-pthread"] },
  once: { source: "once.c" },
  opens: { source: "opens.c", parts: ["told.h"] },
  memfill: { source: "memfill.c" },
  "memfill-static": { source: "memfill.c", flags: ["-static"] },
  ticks: { source: "ticks.c" },
  "vfork-waits": { source: "vfork-waits.c", flags: ["-pthread"] },
  "own-threads": { source: "own-threads.c", flags: ["-pthread"] },
  "own-view": { source: "own-view.c" },
  places: { source: "places.c" },
  peek: { source: "peek.c" },
  "peek-self": { source: "peek-self.c", flags: ["-pthread"] },
  pipes: { source: "pipes.c" },
  segv: { source: "segv.c" },
  "shm-count": { source: "shm-count.c" },
  sendrecv: { source: "sendrecv.c" },
  sigs: { source: "sigs.c" },
  "sigs-count": { source: "sigs-count.c" },
  "sigs-script": { source: "sigs-script.c" },
  "sigs-send": { source: "sigs-send.c" },
  "sigs-self": { source: "sigs-self.c" },
  signalfds: { source: "signalfds.c", flags: ["-pthread"] },
  spin: { source: "spin.c", flags: ["-static"] },
  "spin-nopie": { source: "spin.c", flags: ["-no-pie"] },
  "spin-musl": { source: "spin.c", compiler: "musl", flags: ["-static"] },
  "spin-pie": { source: "spin.c" },
  threads: {
    source: "threads.c",
    parts: ["threads-calls.c", "threads-ends.c", "threads-lives.c", "threads-signals.c", "threads-sync.c", "threads.h"],
    flags: ["-pthread"],
  },
  wholes: { source: "wholes.c", parts: ["nuisance.h"] },
  waiter: { source: "waiter.c" },
  waits: { source: "waits.c", parts: ["waits-files.c", "waits-others.c", "waits.h"], flags: ["-pthread"] },
  "refuse-32bit": { source: "refuse-32bit.S", compiler: "i386" },
  "refuse-aio": { source: "refuse-aio.c" },
  "refuse-cpu-limit": { source: "refuse-cpu-limit.c" },
  "refuse-cpu-timer": { source: "refuse-cpu-timer.c" },
  "refuse-device": { source: "refuse-device.c" },
  "refuse-hugetlb": { source: "refuse-hugetlb.c" },
  "refuse-io-uring": { source: "refuse-io-uring.c" },
  "refuse-leader-exit": { source: "refuse-leader-exit.c", flags: ["-pthread"] },
  "refuse-mlock": { source: "refuse-mlock.c" },
  "refuse-own-view": { source: "refuse-own-view.c" },
  "refuse-perf": { source: "refuse-perf.c" },
  "refuse-realtime": { source: "refuse-realtime.c" },
  "refuse-seccomp": { source: "refuse-seccomp.c" },
  "refuse-shared-anon": { source: "refuse-shared-anon.c" },
  "refuse-shared-file": { source: "refuse-shared-file.c" },
  "refuse-shared-open": { source: "refuse-shared-open.c" },
  "refuse-sysv-shm": { source: "refuse-sysv-shm.c" },
  "refuse-traced": { source: "refuse-traced.c" },
  "refuse-tracer": { source: "refuse-tracer.c" },
  "refuse-unshared": { source: "refuse-unshared.c", flags: ["-pthread"] },
  "refuse-userfaultfd": { source: "refuse-userfaultfd.c" },
  "refuse-vfork": { source: "refuse-vfork.c" },
} as const satisfies Record<string, Recipe>;
export type ProgramName = keyof typeof PROGRAMS;
/** The programs that a node refuses to let go: each prints `ready` and then waits to be killed. */
export const REFUSED = (Object.keys(PROGRAMS) as ProgramName[]).filter((name) => name.startsWith("refuse-"));

/** All kinds of waits, as `waits` names them. */
export const WAITS: readonly string[] = [...readFileSync(join(SOURCES, "waits.c"), "utf8").matchAll(/\{"(\w+)", wait_/g)].map(
  ([, name = ""]) => name,
);

/** Status of a program that found that this machine cannot do what it is about; its reason is its only line of output. */
export const EXIT_UNAVAILABLE = 77;

/** The commands that make `output` from the recipe. */
function commands(recipe: Recipe, output: string): [string, ...string[]][] {
  const source = join(SOURCES, recipe.source);
  const others = (recipe.parts ?? []).filter((part) => part.endsWith(".c")).map((part) => join(SOURCES, part));
  const flags = recipe.flags ?? [];
  switch (recipe.compiler ?? "gcc") {
    case "gcc":
      return [["gcc", ...COMMON, "-o", output, source, ...others, ...flags]];
    case "musl":
      return [["musl-gcc", ...COMMON, "-o", output, source, ...others, ...flags]];
    case "i386":
      return [
        ["as", "--32", "-o", `${output}.o`, source],
        ["ld", "-m", "elf_i386", ...flags, "-o", output, `${output}.o`],
      ];
  }
}

function keyOf(recipe: Recipe): string {
  const hash = createHash("sha256");
  hash.update(JSON.stringify(commands(recipe, "output")));
  for (const file of ["common.h", recipe.source, ...(recipe.parts ?? [])]) hash.update(readFileSync(join(SOURCES, file)));
  return hash.digest("hex").slice(0, 16);
}

/**
 * Path of the executable, built first if need be. Several may ask at once: each builds its own, the last one stays.
 * @throws Error with the compiler's words when it cannot be built.
 */
export function program(name: ProgramName): string {
  const recipe: Recipe = PROGRAMS[name];
  const path = join(CACHE, `${name}-${keyOf(recipe)}`);
  if (existsSync(path)) return path;
  mkdirSync(CACHE, { recursive: true });
  const fresh = `${path}.${process.pid}`;
  try {
    for (const [file, ...args] of commands(recipe, fresh)) {
      const done = spawnSync(file, args, { encoding: "utf8", timeout: BUILD_SECONDS * 1000 });
      if (done.error !== undefined) throw new Error(`building ${name}: ${file}: ${done.error.message} (tools/setup test)`);
      if (done.status !== 0) throw new Error(`building ${name}: ${file} says:\n${done.stderr}`);
    }
    renameSync(fresh, path);
  } finally {
    for (const left of [fresh, `${fresh}.o`]) rmSync(left, { force: true });
  }
  return path;
}

if (import.meta.main) {
  for (const name of Object.keys(PROGRAMS) as ProgramName[]) console.log(program(name));
}
