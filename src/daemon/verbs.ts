/**
 * What the owner of a node has said of it, as mosctl(1) of openMosix has it: `stay` no process moves out by itself, `lstay` no local one
 * does, `block` no guests arrive, `quiet` the others learn nothing of it and send nothing.
 */
export const FLAGS = ["stay", "lstay", "block", "quiet"] as const;
export type Flag = (typeof FLAGS)[number];

export const NUMBER_VERBS: readonly string[] = ["setspeed", "nosetspeed", "setyard", "setdecay"];

/** All that a node may be told: `tesela ctl`, `tesela loadlevel`. */
export const CONTROL_VERBS: readonly string[] = [
  ...FLAGS.flatMap((f) => [f, `no${f}`]),
  ...["expel", "noexpel", "bring", "nobring", "level", "nolevel"],
  ...NUMBER_VERBS,
];

/** Those by which a node takes no guests. */
const CLOSING: readonly string[] = ["block", "quiet"] satisfies Flag[];

/** By which of its flags a node takes no guests; undefined when by none. */
export const closedBy = (flags: readonly string[]): string | undefined => flags.find((f) => CLOSING.includes(f));

/** Whether a node that tells these flags of itself lets processes of others come. */
export const takesGuests = (flags: readonly string[]): boolean => !flags.includes("noengine") && closedBy(flags) === undefined;

/** What to say of a node that takes no guests. @param flag by which it does not, where that is known */
export const closedText = (node: number, flag: string): string =>
  `node ${node} takes no guests: '${flag}' is set there; tesela ctl no${flag} --node ${node} takes that back`;
