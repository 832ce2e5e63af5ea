import { BALANCE_KNOBS, PLACE_KNOBS, USHER_KNOBS } from "../balance/mod.ts";
import { LAN } from "../cluster/mod.ts";
import { BALANCE_ROWS, COST_ROWS, PLACE_ROWS, USHER_ROWS } from "./balance-rows.ts";
import { GOSSIP_ROWS } from "./gossip-rows.ts";
import { type ChoiceRow, type FlagRow, type PathRow, rowsOf, type Section } from "./row.ts";

/** Who moves by itself. */
export const POLICY_ROWS = {
  level: {
    kind: "flag",
    default: true,
    does: "Whether processes move by themselves as long as `tesela loadlevel` has not said, which is kept. TESELA_LEVEL counts before it.",
    trade: "true: load is spread. false: processes move when told to, and when memory runs short.",
  } satisfies FlagRow,
  scope: {
    kind: "choice",
    default: "levelled",
    choices: ["levelled", "all"],
    does: "Which processes these are: those of `tesela run`, `tesela shell` and the list below, with all that descend from them; or all, as in openMosix.",
    trade: "all: nobody has to say anything, and services of the machine may be moved too. levelled: only who is meant is touched.",
  } satisfies ChoiceRow,
  loadlevellist: {
    kind: "path",
    default: "/etc/tesela/loadlevellist",
    does: "A file with a full path of a program in each line, # begins a comment: these programs may move, whoever starts them.",
    trade: "Longer: more is spread. A script's program is its interpreter. A program that is taken out of it may still move until it ends.",
  } satisfies PathRow,
  rivals: {
    kind: "flag",
    default: true,
    does: "Whether tasks count that this node does not see, on the CPUs that it may use: of other containers and hosts, or what a hypervisor gives away. TESELA_RIVALS counts before it.",
    trade: "true: load goes where CPUs are really free. false: for neighbours that give way by themselves, as to a higher weight.",
  } satisfies FlagRow,
} as const;

/** The bounds that guests have here; the same as src/engine/guest-limits.ts has without a file. */
export const GUEST_DEFAULTS = { processes: 1024, memory: 0, weight: 10, group: true } as const;

const GUEST_ROWS = {
  ...rowsOf<"processes" | "memory" | "weight">(
    {
      processes: {
        least: 1,
        most: 1 << 22,
        whole: true,
        does: "Processes of other nodes that this one runs; kernel tasks = processes * 16 + 256. TESELA_GUEST_PROCESSES counts before it.",
        trade:
          "More: more work for others. Less: no more are taken in, and a guest that would have one more child goes home and has it there.",
      },
      memory: {
        least: 0,
        most: Number.MAX_SAFE_INTEGER,
        whole: true,
        unit: "bytes",
        does: "What guests may use together. 0: memTotal - min(max(memTotal / 16, 256 MiB), memTotal / 4). TESELA_GUEST_MEMORY counts before it.",
        trade: "More: more guests find room. Less: more stays the owner's; beyond it the kernel ends the largest guest.",
      },
      weight: {
        least: 1,
        most: 100,
        whole: true,
        unit: "per cent",
        does: "Guests' claim on a CPU that others want too, of an ordinary process's. TESELA_GUEST_WEIGHT counts before it.",
        trade: "More: guests get on beside the owner's work. Less: the owner does not notice them. On an idle CPU they run at full speed.",
      },
    },
    GUEST_DEFAULTS,
  ),
  group: {
    kind: "flag",
    default: GUEST_DEFAULTS.group,
    does: "Whether control groups are made for memory, tasks and weight. TESELA_GUEST_GROUP counts before it.",
    trade: "false: only the number of processes is limited, for machines that keep their control groups to themselves.",
  } satisfies FlagRow,
};

/** All of the file, in the order in which it is printed. */
export const SECTIONS = {
  balance: {
    about: "Who moves by itself, and when a process moves for load.",
    rows: { ...POLICY_ROWS, ...rowsOf(BALANCE_ROWS, BALANCE_KNOBS) },
  },
  cost: { about: "What nodes and moves cost: for balance, usher and place alike.", rows: rowsOf(COST_ROWS, BALANCE_KNOBS) },
  usher: { about: "When processes leave because memory runs short.", rows: rowsOf(USHER_ROWS, USHER_KNOBS) },
  place: { about: "Where programs begin.", rows: rowsOf(PLACE_ROWS, PLACE_KNOBS) },
  gossip: {
    about: "Membership and news, told from node to node; n is the number of members that are not down.",
    rows: rowsOf(GOSSIP_ROWS, LAN),
  },
  guests: {
    about: "What processes of other nodes may use of this one. The engine reads it when it starts.",
    rows: GUEST_ROWS,
  },
} satisfies Record<string, Section>;

export type SectionName = keyof typeof SECTIONS;
export const sectionNames = Object.keys(SECTIONS) as SectionName[];
