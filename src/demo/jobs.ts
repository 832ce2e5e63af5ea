/** The real work of the demo: ordinary programs, each with something to show that it was right. */

export interface Job {
  /** For people. */
  readonly name: string;
  /** How many units it does, and what one of them is. */
  readonly size: number;
  readonly unit: string;
  /** Shell text of the program that moves; `RUN` stands where `tesela run` goes. */
  readonly script: string;
}

interface Kind {
  readonly name: string;
  readonly unit: string;
  /** Size that takes some tenths of a second anywhere. */
  readonly probe: number;
  /** Time grows with size to this power. */
  readonly power: number;
  /** Sizes are rounded to this, to be readable. */
  readonly step: number;
  readonly script: (size: number, variant: number) => string;
}

/** Tells its PID, then becomes the program: the same process. */
const becoming = (program: string): string => `sh -c 'echo $$ >&3; exec 3>&-; exec RUN "$@"' sh ${program}`;
const NUMBERS = "/tmp/tesela-demo-numbers";

const PI: Kind = {
  name: "bc: pi",
  unit: "digits",
  probe: 1200,
  power: 2.6,
  step: 50,
  script: (size, variant) => `${becoming("bc -l")} <<EOF\nscale=${size + variant}; 4*a(1)\nEOF\n`,
};

const LOOP: Kind = {
  name: "awk: loops",
  unit: "thousand rounds",
  probe: 2000,
  power: 1,
  step: 100,
  script: (size, variant) =>
    becoming(
      `awk "BEGIN { for (i = 0; i < ${size}; i++) for (j = 0; j < 1000; j++) s = (s * 31 + i + j + ${variant}) % 1000003; print s }"`,
    ),
};

const GZIP: Kind = {
  name: "gzip | sha256sum",
  unit: "thousand lines",
  probe: 1000,
  power: 1,
  step: 100,
  // -n: else the time of the input goes into the output.
  script: (size) => `seq ${size}000 >${NUMBERS}-${size} && ${becoming("gzip -9n")} <${NUMBERS}-${size} | sha256sum`,
};

/** What runs side by side. */
export const WORK: readonly { kind: Kind; variant: number }[] = [
  { kind: PI, variant: 0 },
  { kind: LOOP, variant: 0 },
  { kind: GZIP, variant: 0 },
  { kind: PI, variant: 1 },
  { kind: LOOP, variant: 1 },
  { kind: PI, variant: 2 },
];
export const KINDS: readonly Kind[] = [PI, LOOP, GZIP];
export type { Kind };

export function makeJob(kind: Kind, variant: number, size: number): Job {
  return { name: variant === 0 ? kind.name : `${kind.name} (${variant + 1})`, size, unit: kind.unit, script: kind.script(size, variant) };
}

export const probeJob = (kind: Kind): Job => makeJob(kind, 0, kind.probe);

/** The size that takes `seconds`, when `probe` took `probeSeconds`. */
export function sizeFor(kind: Kind, probeSeconds: number, seconds: number): number {
  const size = kind.probe * (seconds / Math.max(probeSeconds, 0.01)) ** (1 / kind.power);
  return Math.max(kind.step, Math.round(size / kind.step) * kind.step);
}

/** As it runs without Tesela, and with it. */
export const plainScript = (job: Job): string => job.script.replaceAll("exec RUN", "exec");
export const movingScript = (job: Job): string => job.script.replaceAll("exec RUN", "exec tesela run");

/** What the machine needs for it: program to Debian package. */
export const PROGRAMS: Readonly<Record<string, string>> = {
  bc: "bc",
  awk: "gawk",
  gzip: "gzip",
  seq: "coreutils",
  sha256sum: "coreutils",
};
