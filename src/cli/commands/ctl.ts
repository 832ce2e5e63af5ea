import { humanBytes, nearest, nodePaths, parseCpid, TeselaError } from "../../base/mod.ts";
import {
  CONTROL_VERBS,
  type ControlAsk,
  type Controlled,
  DaemonClient,
  type DaemonStatus,
  maskText,
  type NodeRow,
  parseMask,
} from "../../daemon/mod.ts";
import { DONE, FAILED, type Invocation, lastValue } from "../command.ts";
import { print, printJson } from "../out.ts";
import { usage } from "../parse.ts";

/** For people a truth is `yes` or `no`. */
type Said = string | number | boolean;

/** What is asked of a node's row, also of one that is down: mosctl(1). */
const QUESTIONS: Readonly<Record<string, (n: NodeRow) => Said>> = {
  status: (n) => [n.state, ...n.flags].join(" "),
  whois: (n) => `node ${n.id} (${n.name}) at ${n.address}`,
  isup: (n) => n.state === "up",
};
/** The same as fields. */
const FIELDS: Readonly<Record<string, (n: NodeRow) => object>> = {
  status: ({ state, flags }) => ({ state, flags }),
  whois: ({ name, address }) => ({ name, address }),
};

/** Figures, which only a node that is up has. */
const FIGURES: Readonly<Record<string, (n: NodeRow) => Said>> = {
  // In hundredths, as openMosix counts it.
  getload: (n) => Math.round(n.load * 100),
  getspeed: (n) => n.speed,
  getmem: (n) => n.memTotal,
  getfree: (n) => n.memFree,
  // In per cent.
  getutil: (n) => Math.round((n.util ?? 0) * 100),
};

/** What is asked of this node's own status: the text, and its fields. */
const OF_THIS: Readonly<Record<string, { readonly text: (s: DaemonStatus) => string; readonly json: (s: DaemonStatus) => object }>> = {
  getyard: { text: (s) => String(s.yard ?? STANDARD), json: (s) => ({ getyard: s.yard ?? STANDARD }) },
  getdecay: {
    text: ({ decay }) => (decay ? `${decay.seconds} ${decay.slow} ${decay.fast}` : ""),
    json: ({ decay }) => ({ getdecay: decay, decay }),
  },
  gettune: {
    text: ({ tune }) =>
      tune
        ? `a move: ${tune.freezeMs} ms and a second for each ${humanBytes(tune.bandwidth)}; a call that goes home: ${tune.callMs} ms`
        : "",
    json: ({ tune }) => ({ gettune: tune, tune }),
  },
};
const STANDARD = 10_000;
const MASK = "mask";
/** Those of the classics that stand for what is not there. */
const NOT_HERE: Readonly<Record<string, string>> = {
  mfs: "there is no file system of all nodes yet: a process that moves finds its files at home anyway",
  nomfs: "there is no file system of all nodes yet that could be closed",
};

/** Which operands each verb of a node takes, and what they say. */
const NUMBERS: Readonly<Record<string, (call: Invocation, words: readonly string[]) => Partial<ControlAsk>>> = {
  setspeed: (call, [speed, ...more]) => {
    noMore(call, more);
    return { value: number(call, speed, "a speed, 10000 for the reference processor") };
  },
  setyard: (call, [yard, ...more]) => {
    noMore(call, more);
    const what = "a speed, 10000 for the reference processor, or 'this' for that of the node; types of processors have no meaning here";
    return yard === "this" ? {} : { value: number(call, yard, what) };
  },
  setdecay: (call, words) => {
    const what = "INTERVAL SLOW FAST: seconds, and two thousandths of 0 to 1000";
    if (words.length !== 3) throw usage(call.command, `setdecay: want ${what}`);
    return { values: words.map((w) => number(call, w, what)) };
  },
};

export async function run(call: Invocation): Promise<number> {
  const [verb = "", ...words] = call.operands;
  const client = new DaemonClient(nodePaths());
  const question = own(QUESTIONS, verb) ?? own(FIGURES, verb);
  if (question) return await answer(call, client, question, words);
  const ofThis = own(OF_THIS, verb);
  if (ofThis) return await answerOfThis(call, client, ofThis, words);
  const not = own(NOT_HERE, verb);
  if (not !== undefined) throw new TeselaError("E_MISSING", `${verb}: ${not}`);
  if (verb === MASK) return await mask(call, client, words);
  if (!CONTROL_VERBS.includes(verb)) throw unknownVerb(call, verb);
  const numbers = own(NUMBERS, verb)?.(call, words) ?? {};
  if (!own(NUMBERS, verb)) noMore(call, words);
  const node = lastValue(call, "node");
  const done = await client.ctl({ verb, ...(node !== undefined && { node }), ...numbers });
  if (call.json) printJson(done);
  else print(toldText(done, [verb, ...words].join(" ")));
  if (done.failed.length > 0)
    throw new TeselaError("E_BUSY", `${done.failed.length} processes could not be moved: ${done.failed[0]?.reason}`);
  return DONE;
}

/** @param said what was said to it, when that shows in no flag */
export function toldText({ node, flags, level, moved }: Controlled, said = ""): string {
  const went = moved.length === 0 ? "" : `, ${moved.length} moved: ${moved.join(" ")}`;
  const words = [...(own(NUMBERS, said.replace(/^no| .*$/g, "")) ? [said] : []), `load levelling ${level ? "on" : "off"}`, ...flags];
  return `node ${node}: ${words.join(", ")}${went}`;
}

function unknownVerb(call: Invocation, verb: string): TeselaError {
  const all = [...CONTROL_VERBS, MASK, ...[QUESTIONS, FIGURES, OF_THIS].flatMap((t) => Object.keys(t))];
  const near = nearest(verb, all);
  return usage(call.command, `ctl: no such verb '${verb}': ${near === null ? `want one of ${all.join(" ")}` : `did you mean '${near}'?`}`);
}

const own = <T>(table: Readonly<Record<string, T>>, key: string): T | undefined => (Object.hasOwn(table, key) ? table[key] : undefined);

function noMore(call: Invocation, [more]: readonly string[]): void {
  if (more !== undefined) throw usage(call.command, `${call.operands[0]}: unexpected '${more}'; another node is named by --node`);
}

function number(call: Invocation, word: string | undefined, want: string): number {
  if (word === undefined || !/^\d{1,9}$/.test(word)) throw usage(call.command, `${call.operands[0]} '${word ?? ""}': want ${want}`);
  return Number(word);
}

/** `mask PID`, `mask PID 1-4,7`, `mask PID --not 3`, `mask PID all`. */
async function mask(call: Invocation, client: DaemonClient, [pid, list, ...more]: readonly string[]): Promise<number> {
  const not = lastValue(call, "not");
  const text = not === undefined ? list : `!${not}`;
  if (pid === undefined || text === undefined || more.length > 0 || (not !== undefined && list !== undefined))
    throw usage(call.command, "mask: want PID and a list of nodes (1-4,7), all, or --not LIST");
  try {
    parseCpid(pid);
    if (text !== "all") parseMask(text);
  } catch (e) {
    throw usage(call.command, (e as Error).message);
  }
  const done = await client.setMask({ pid, mask: text === "all" ? null : text });
  if (call.json) printJson(done);
  else print(`${pid}: ${done.mask === null ? "all nodes" : maskText(done.mask)}${done.cameHome ? "; it has come home" : ""}`);
  return DONE;
}

async function answerOfThis(
  call: Invocation,
  client: DaemonClient,
  { text, json }: (typeof OF_THIS)[string],
  [more]: readonly string[],
): Promise<number> {
  const [verb = ""] = call.operands;
  if (more !== undefined || lastValue(call, "node") !== undefined)
    throw usage(call.command, `${verb}: of this node only: ask on the other one`);
  const status = await client.status();
  if (call.json) printJson({ node: status.node, ...json(status) });
  else print(text(status));
  return DONE;
}

async function answer(
  call: Invocation,
  client: DaemonClient,
  question: (n: NodeRow) => Said,
  [which, ...more]: readonly string[],
): Promise<number> {
  noMore(call, more);
  const nodes = await client.nodes();
  const wanted = which ?? lastValue(call, "node") ?? String((await client.status()).node);
  const row = nodes.find((n) => String(n.id) === wanted || n.name === wanted || n.address === wanted);
  if (!row) throw new TeselaError("E_NONODE", `there is no node '${wanted}'`, { node: wanted });
  const [verb = ""] = call.operands;
  if (row.state !== "up" && own(FIGURES, verb))
    throw new TeselaError("E_NODE_DOWN", `node ${row.id} (${row.name}) is ${row.state}: it has no figures of now`, { node: row.id });
  const said = question(row);
  if (call.json) printJson({ node: row.id, [verb]: said, ...own(FIELDS, verb)?.(row) });
  else print(typeof said === "boolean" ? (said ? "yes" : "no") : String(said));
  return said === false ? FAILED : DONE;
}
