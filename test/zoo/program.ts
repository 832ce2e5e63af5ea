/** A row of the zoo: a real, unmodified program, and how to tell whether it noticed that it was moved. */
export interface Program {
  /** Unique; what `npm run zoo -- NAME` picks. */
  readonly name: string;
  /** Debian packages that bring it. */
  readonly packages: readonly string[];
  /** Debian source packages; their upstream archives are `$SOURCES/NAME.tar`, whatever compresses them. */
  readonly sources?: readonly string[];
  /** What proves that it is there: commands, or files by their path. */
  readonly needs: readonly string[];
  /** Run by bash in an empty folder, after {@link PRELUDE}. */
  readonly script: string;
  /** How often it is run, each time in a folder of its own: what is over before it can be moved shows nothing. Once unless given. */
  readonly turns?: number;
  /** Run once before, by bash in that folder and unmoved: what takes long and is not the matter. What it writes is there in both runs. */
  readonly prepare?: string;
  /** Everything is compared as it is unless this says what is no matter. */
  readonly compare?: Comparison;
  /** A part of `npm test`: quick, and its packages are in the list of tools/setup. */
  readonly fast?: true;
  /** The name of a reason by which some of it has to be refused. */
  readonly refused?: string;
}

/** What two runs of a program may differ in also when none is moved. */
export interface Comparison {
  /** In words, for the report. */
  readonly note: string;
  /** Parts of stdout and stderr, replaced before they are compared. */
  readonly replace?: readonly (readonly [RegExp, string])[];
  /** Files, by their path in the folder, that are not looked at. */
  readonly ignore?: RegExp;
}

/** Where input files and helper scripts are on the host. */
export const DATA = "/tmp/zoo/data";
export const SCRIPTS = "/tmp/zoo/scripts";
/** Where test/zoo/setup puts source archives. */
export const SOURCES = "/var/cache/tesela-zoo";

/** What each script starts with: the distribution's programs, and nothing of whoever runs the zoo. */
export const PRELUDE = `export PATH=/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin DATA=${DATA} ZOO=${SCRIPTS} SOURCES=${SOURCES} TOP=$PWD HOME=$PWD TZ=UTC LC_ALL=C.UTF-8 LANG=C.UTF-8
`;

/** All turns of a program as one script; it ends with the first turn that fails. */
export const wholeScript = (p: Program): string =>
  `${PRELUDE}turn() {\n${p.script}\n}\nfor t in $(seq ${p.turns ?? 1}); do mkdir t$t && cd t$t && turn || exit; cd ..; done\n`;
