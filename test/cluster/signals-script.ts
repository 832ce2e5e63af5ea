import type { TestCluster } from "./harness.ts";
import { migrate, randomFrom } from "./move.ts";
import { program } from "../programs/build.ts";
import { Talk } from "./talk.ts";

/**
 * Sessions with `sigs-script`, step by step: played twice, once with its moves and once without, they have to say the same.
 * Every step waits for the one before, so that a session has one right outcome.
 */
export type Step =
  /** A command, and the word that its last line begins with; without one it goes on (it waits for a signal). */
  | { readonly say: string; readonly until?: string }
  /** Lines up to one that begins so, of a command that waited. */
  | { readonly hear: string }
  /** `handled`: its handler runs at once, and has before the next step. */
  | { readonly send: "kill" | "queue" | "thread"; readonly signal: number; readonly value?: number; readonly handled?: boolean }
  | { readonly move: number };

export const say = (command: string): Step => ({ say: command, until: command.split(" ", 1)[0] as string });
const hex = (mask: bigint): string => mask.toString(16);
export const bit = (signal: number): bigint => 1n << BigInt(signal - 1);
export const bits = (...signals: readonly number[]): string => hex(signals.reduce((m, s) => m | bit(s), 0n));

const READ = 0;

/** One who sends signals from the program's own host. */
export class Sender implements AsyncDisposable {
  private readonly talk: Talk;
  readonly pid: number;
  private constructor(talk: Talk) {
    this.talk = talk;
    this.pid = talk.pid;
  }
  static async start(cluster: TestCluster): Promise<Sender> {
    const talk = await Talk.start(cluster, [program("sigs-send")]);
    await talk.until(/^sender /);
    return new Sender(talk);
  }
  /** @returns false when the queue is full (EAGAIN) @throws Error for any other failure */
  async send(how: "kill" | "queue" | "thread", pid: number, signal: number, value?: number): Promise<boolean> {
    this.talk.say([how, pid, signal, ...(how === "queue" ? [value ?? 0] : [])].join(" "));
    const answer = await this.talk.next();
    if (answer === "errno 11") return false;
    if (answer !== "ok") throw new Error(`sending signal ${signal} to ${pid}: ${answer}`);
    return true;
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.talk[Symbol.asyncDispose]();
  }
}

/** @returns what the program said, and its status */
export async function play(
  cluster: TestCluster,
  sender: Sender,
  steps: readonly Step[],
  moving: boolean,
  ...args: string[]
): Promise<string[]> {
  await using talk = await Talk.start(cluster, [program("sigs-script"), ...args]);
  await talk.until(/^ready/);
  let reading = true;
  let at = 1;
  const one = async (step: Step): Promise<void> => {
    if ("move" in step) {
      if (!moving || step.move === at) return;
      await migrate(cluster, talk.pid, step.move);
      at = step.move;
    } else if ("send" in step) {
      // What the signal does to a call is told only if the call has begun.
      if (reading) await talk.blocksIn(READ);
      await sender.send(step.send, talk.pid, step.signal, step.value);
      if (step.handled) await talk.until(new RegExp(`^handled ${step.signal}\\b`));
    } else if ("hear" in step) {
      await talk.until(new RegExp(`^${step.hear}\\b`));
      reading = true;
    } else {
      talk.say(step.say);
      reading = step.until !== undefined;
      if (step.until !== undefined) await talk.until(new RegExp(`^${step.until}\\b`));
    }
  };
  for (const [i, step] of steps.entries()) {
    try {
      await one(step);
    } catch (cause) {
      const before = steps.slice(Math.max(0, i - 4), i).map((s) => JSON.stringify(s));
      throw new Error(`step ${i}, ${JSON.stringify(step)} on node ${at}, after ${before.join(" ")}: ${String(cause)}`, { cause });
    }
  }
  talk.endInput();
  const { status, lines } = await talk.end();
  return [...lines, `status ${status}${talk.stderr}`];
}

const STANDARD = [1, 2, 10, 12, 14, 17, 18, 23, 28, 29] as const;
const REAL_TIME = [34, 35, 36, 40, 64] as const;
const FLAGS = ["", "r", "f", "n", "rs", "sf", "o", "ro", "i", "d"] as const;

/** A session at random. It keeps to what has one right outcome: who waits for a signal waits for one that only the wait lets in. */
export function randomSession(seed: number, length: number): Step[] {
  const random = randomFrom(seed);
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;
  const signals = [...STANDARD, ...REAL_TIME];
  const handled = new Set<number>();
  let mask = 0n;
  let value = 0;
  const steps: Step[] = [];
  const act = (signal: number, how: string): void => {
    if (how === "d" || how === "i") handled.delete(signal);
    else handled.add(signal);
    steps.push(say(`act ${signal} ${how}`));
  };
  const setMask = (m: bigint): void => {
    mask = m;
    steps.push(say(`mask ${hex(m)}`));
  };
  const some = (): bigint => signals.reduce((m, s) => (random() < 0.5 ? m | bit(s) : m), 0n);
  const send = (signal: number): void => {
    const how = signal >= 34 ? "queue" : pick(["kill", "thread", "queue"] as const);
    const common = { send: how, signal, handled: (mask & bit(signal)) === 0n && handled.has(signal) };
    steps.push(how === "queue" ? { ...common, value: value++ } : common);
  };
  const maybeMove = (): void => {
    if (random() < 0.6) steps.push({ move: pick([1, 2, 3, 2, 3]) });
  };
  for (const s of signals) act(s, pick(["", "r", "f", "rs"]));
  /** A signal with a handler, blocked, and not pending. */
  const wanted = (): number => {
    const s = pick(signals);
    act(s, pick(["", "r", "f", "s"]));
    setMask(mask & ~bit(s));
    setMask(mask | bit(s));
    return s;
  };
  /** A wait that only this signal ends, or one that begins when it is pending already and lets in others that are. */
  const wait = (name: string, narrow: (s: number) => string, broad: (s: number) => string): void => {
    const s = wanted();
    if (random() < 0.5) {
      steps.push({ say: `${name} ${narrow(s)}` });
      maybeMove();
      send(s);
      steps.push({ hear: name });
    } else {
      send(s);
      maybeMove();
      steps.push(say(`${name} ${broad(s)}`));
    }
  };
  while (steps.length < length) {
    maybeMove();
    switch (Math.floor(random() * 10)) {
      case 0:
      case 1:
      case 2:
        send(pick(signals));
        break;
      case 3:
        setMask(some());
        break;
      case 4:
        steps.push(say("pending"));
        break;
      case 5:
        wait(
          "suspend",
          (s) => hex(mask & ~bit(s)),
          (s) => hex(some() & ~bit(s)),
        );
        break;
      case 6:
        wait(
          "poll",
          (s) => `${hex(mask & ~bit(s))} 60000`,
          (s) => `${hex(some() & ~bit(s))} 60000`,
        );
        break;
      case 7:
        wait(
          "wait",
          (s) => `${hex(bit(s))} 60000`,
          (s) => `${hex(bit(s) | (some() & mask))} 60000`,
        );
        break;
      case 8:
        if (random() < 0.5) steps.push(say(`self ${pick(signals)}`));
        else steps.push(say(`queue ${pick(REAL_TIME)} ${value++}`));
        break;
      default: {
        // Ignored ones, and handlers that are used up by one signal and set again.
        const s = pick(signals);
        const how = pick(FLAGS);
        if (how.includes("o")) {
          setMask(0n);
          act(s, how);
          maybeMove();
          send(s);
          act(s, "");
        } else if (how === "d" || how === "i") {
          if (how === "i" || s === 17 || s === 18 || s === 23 || s === 28) {
            act(s, how);
            maybeMove();
            send(s);
            steps.push(say("pending"));
          }
          act(s, "r");
        } else act(s, how);
      }
    }
  }
  setMask(0n);
  steps.push({ move: 1 }, say("pending"), { say: "quit 42" });
  return steps;
}
