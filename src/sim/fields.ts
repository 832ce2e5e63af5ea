import { GiB, KiB, MiB, TeselaError } from "../base/mod.ts";
import type { Spread } from "./spread.ts";

const UNITS: Readonly<Record<string, number>> = { B: 1, KiB, MiB, GiB, KB: 1e3, MB: 1e6, GB: 1e9 };

function toBytes(value: unknown): number | null {
  if (typeof value === "number") return value;
  const m = typeof value === "string" ? /^(\d+(?:\.\d+)?) ?([KMG]i?B|B)$/.exec(value) : null;
  return m === null ? null : Number(m[1]) * (UNITS[m[2] ?? ""] ?? Number.NaN);
}

const isNumber = (v: unknown): v is number => typeof v === "number" && Number.isFinite(v);

/** The fields of an object of a scenario, each taken once; what is wrong or left over is told with its place. */
export class Fields {
  private readonly values: ReadonlyMap<string, unknown>;
  private readonly taken = new Set<string>();
  private readonly place: string;

  constructor(value: unknown, place: string) {
    this.place = place;
    if (typeof value !== "object" || value === null || Array.isArray(value)) throw new TeselaError("E_CONFIG", `${place}: want an object`);
    this.values = new Map(Object.entries(value));
  }

  wrong(name: string, want: string): TeselaError {
    return new TeselaError("E_CONFIG", `${this.place}: ${name}: want ${want}, not ${JSON.stringify(this.values.get(name)) ?? "nothing"}`);
  }

  /** @throws TeselaError E_CONFIG for a field that nobody has asked for */
  end(): void {
    const left = [...this.values.keys()].find((k) => !this.taken.has(k));
    if (left !== undefined) throw new TeselaError("E_CONFIG", `${this.place}: unknown field '${left}'`);
  }

  number(name: string, otherwise: number | undefined, least: number): number {
    const v = this.take(name) ?? otherwise;
    if (!isNumber(v) || v < least) throw this.wrong(name, `a number of at least ${least}`);
    return v;
  }
  whole(name: string, otherwise: number, least: number): number {
    const v = this.number(name, otherwise, least);
    if (!Number.isInteger(v)) throw this.wrong(name, "a whole number");
    return v;
  }
  share(name: string, otherwise: number): number {
    const v = this.number(name, otherwise, 0);
    if (v > 1) throw this.wrong(name, "a part, 0 to 1");
    return v;
  }
  text(name: string, otherwise?: string): string {
    const v = this.take(name) ?? otherwise;
    if (typeof v !== "string") throw this.wrong(name, "a text");
    return v;
  }
  flag(name: string, otherwise: boolean): boolean {
    const v = this.take(name) ?? otherwise;
    if (typeof v !== "boolean") throw this.wrong(name, "true or false");
    return v;
  }
  /** A number, or a text as "64 MiB". */
  bytes(name: string, otherwise: number | string): number {
    const v = toBytes(this.take(name) ?? otherwise);
    if (v === null || !(v >= 0)) throw this.wrong(name, 'bytes, as 4096 or "64 MiB"');
    return v;
  }
  pair(name: string, otherwise: readonly [number, number]): readonly [number, number] {
    const v = this.take(name) ?? otherwise;
    const [least, most] = Array.isArray(v) && v.length === 2 ? v.map(toBytes) : [];
    if (!isNumber(least) || !isNumber(most) || least < 0 || most < least) throw this.wrong(name, "[least, most]");
    return [least, most];
  }
  spread(name: string, otherwise?: string): Spread {
    const v = this.take(name) ?? otherwise;
    const plain = toBytes(v);
    if (plain !== null && plain >= 0) return plain;
    const want = 'a number, {"uniform": [a, b]}, {"exponential": mean} or {"pareto": {"alpha", "least", "most"}}';
    if (typeof v !== "object" || v === null) throw this.wrong(name, want);
    const f = new Fields(v, `${this.place}: ${name}`);
    const made = f.has("uniform")
      ? { uniform: f.pair("uniform", [0, 0]) }
      : f.has("exponential")
        ? { exponential: f.number("exponential", undefined, 0) }
        : f.has("pareto")
          ? { pareto: f.pareto("pareto") }
          : null;
    if (made === null) throw this.wrong(name, want);
    f.end();
    return made;
  }
  object(name: string): Fields {
    return new Fields(this.take(name) ?? {}, `${this.place}: ${name}`);
  }
  list(name: string, otherwise?: readonly unknown[]): Fields[] {
    const v = this.take(name) ?? otherwise;
    if (!Array.isArray(v)) throw this.wrong(name, "a list");
    return v.map((item: unknown, i) => new Fields(item, `${this.place}: ${name}[${i}]`));
  }
  /** Numbers that take the place of others of the same name. */
  knobs<T extends object>(name: string, defaults: T): T {
    const f = this.object(name);
    const given = Object.keys(defaults)
      .filter((k) => f.has(k))
      .map((k) => [k, f.number(k, undefined, 0)]);
    f.end();
    return { ...defaults, ...Object.fromEntries(given) };
  }

  private has(name: string): boolean {
    return this.values.has(name);
  }
  private pareto(name: string): { alpha: number; least: number; most: number } {
    const f = this.object(name);
    const [alpha, least, most] = [f.number("alpha", undefined, 0.01), f.bytes("least", Number.NaN), f.bytes("most", Number.NaN)];
    f.end();
    if (!(least > 0) || most <= least) throw this.wrong(name, "0 < least < most");
    return { alpha, least, most };
  }
  private take(name: string): unknown {
    this.taken.add(name);
    return this.values.get(name);
  }
}
