import { TeselaError, toTeselaError } from "../base/mod.ts";
import type { Channel } from "../io/mod.ts";
import type { Data, Head } from "../wire/mod.ts";

/** Questions and answers on an engines' link, beside the frames of calls. */
export type AskHandler = (params: Record<string, Data | undefined>) => Promise<Data> | Data;

export class Asks {
  private readonly channel: Channel;
  private readonly handlers: Readonly<Record<string, AskHandler>>;
  private readonly waiting = new Map<number, { resolve: (v: Data) => void; reject: (e: Error) => void }>();
  private next = 1;

  constructor(channel: Channel, handlers: Readonly<Record<string, AskHandler>>) {
    this.channel = channel;
    this.handlers = handlers;
    void channel.closed.then((reason) => {
      const e = reason ?? new TeselaError("E_LINK", `the link to node ${channel.peer.node} was closed`);
      for (const w of this.waiting.values()) w.reject(e);
      this.waiting.clear();
    });
  }

  /**
   * @param timeoutMs null for what has to be heard of however long it takes, as where job control may have stopped a process meanwhile
   * @throws what the peer answered with, E_LINK, E_TIMEOUT
   */
  ask(method: string, params: Record<string, Data>, timeoutMs: number | null): Promise<Data> {
    const id = this.next++;
    return new Promise((resolve, reject) => {
      const late = (): void => {
        this.waiting.delete(id);
        reject(new TeselaError("E_TIMEOUT", `node ${this.channel.peer.node} gave no answer to '${method}' for ${timeoutMs} ms`));
      };
      const timer = timeoutMs === null ? undefined : setTimeout(late, timeoutMs);
      const settled =
        <T>(f: (v: T) => void) =>
        (v: T): void => {
          clearTimeout(timer);
          f(v);
        };
      this.waiting.set(id, { resolve: settled(resolve), reject: settled(reject) });
      this.channel.send("ask", { id, method, params });
    });
  }

  onAsk(head: Head<"ask">): void {
    const handler = Object.hasOwn(this.handlers, head.method) ? this.handlers[head.method] : undefined;
    const params = (head.params ?? {}) as Record<string, Data | undefined>;
    const run = async (): Promise<Data> => {
      if (!handler) throw new TeselaError("E_PROTOCOL", `'${head.method}' is no question that this node knows`);
      return handler(params);
    };
    run()
      .then((value) => this.channel.send("answer", { id: head.id, ok: true, value }))
      .catch((e: unknown) => {
        // Code and message, and what moves go by: other details may hold what cannot be sent, and are for the commands of this node.
        const { code, message, details } = toTeselaError(e);
        const reasons = Array.isArray(details.reasons) ? { reasons: details.reasons.map(String) } : {};
        const child = typeof details.child === "number" ? { child: details.child } : {};
        this.channel.send("answer", { id: head.id, ok: false, value: { error: code, message, ...reasons, ...child } });
      });
  }

  onAnswer(head: Head<"answer">): void {
    const w = this.waiting.get(head.id);
    this.waiting.delete(head.id);
    if (!w) return;
    if (head.ok) w.resolve(head.value);
    else w.reject(errorFrom(head.value));
  }
}

function errorFrom(value: Data): TeselaError {
  if (value === null || typeof value !== "object" || !("error" in value))
    return new TeselaError("E_PROTOCOL", "a question was answered with nothing");
  const { error, message, ...details } = value;
  return TeselaError.from({ ...details, error: String(error), message: String(message) });
}

/** A number out of a question. @throws TeselaError E_PROTOCOL */
export function numberOf(params: Record<string, Data | undefined>, name: string): number {
  const v = params[name];
  if (typeof v !== "number") throw new TeselaError("E_PROTOCOL", `'${name}' is not a number`);
  return v;
}
/** Which of home's take-overs of a process is meant; undefined where home does not count them. See docs/decisions/0051. */
export function roundOf({ round }: Record<string, Data | undefined>): number | undefined {
  return typeof round === "number" ? round : undefined;
}
/** A list of numbers. @throws TeselaError E_PROTOCOL */
export function numbersOf(params: Record<string, Data | undefined>, name: string): number[] {
  const v = params[name];
  if (!Array.isArray(v) || !v.every((n) => typeof n === "number")) throw new TeselaError("E_PROTOCOL", `'${name}' is no list of numbers`);
  return v as number[];
}
/** A list of texts, empty when there is none. @throws TeselaError E_PROTOCOL */
export function textsOf(params: Record<string, Data | undefined>, name: string): string[] {
  const v = params[name] ?? [];
  if (!Array.isArray(v) || !v.every((n) => typeof n === "string")) throw new TeselaError("E_PROTOCOL", `'${name}' is no list of texts`);
  return v as string[];
}
export const bigintOf = (v: Data | undefined): bigint => (typeof v === "bigint" ? v : BigInt(typeof v === "number" ? v : 0));
export function textOf(params: Record<string, Data | undefined>, name: string): string {
  const v = params[name];
  if (typeof v !== "string") throw new TeselaError("E_PROTOCOL", `'${name}' is not text`);
  return v;
}
