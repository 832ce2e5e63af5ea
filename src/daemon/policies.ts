import { readFileSync } from "node:fs";
import { TeselaError } from "../base/mod.ts";
import { STANDARD_SPEED } from "../load/mod.ts";
import { DECAY_RATES, type DecayRates, isRates } from "./hints.ts";
import { FLAGS, type Flag } from "./verbs.ts";
import { writeWhole } from "./write-whole.ts";

interface Kept {
  readonly flags: readonly Flag[];
  /** Whether processes move by themselves; nothing as long as nobody has said. */
  readonly level?: boolean;
  /** What its owner says of its speed; left out when the yardstick's word counts. */
  readonly speed?: number;
  /** What slow and fast decay are; left out when they are as usual. */
  readonly decay?: DecayRates;
  /** The speed in whose loads are shown; left out when it is the reference processor's. */
  readonly yard?: number;
}

/** Kept in a file: teselad may be restarted, and the machine too. */
export class Policies {
  private readonly file: string;
  private flags: Set<Flag>;
  private levels: boolean | undefined;
  private readonly usual: () => boolean;
  private ownSpeed: number | null;
  private rates: DecayRates | undefined;
  private ownYard: number | undefined;

  /** @param usual whether processes move by themselves as long as nobody has said */
  constructor(file: string, usual: () => boolean) {
    this.file = file;
    const kept = read(file);
    this.flags = new Set(kept?.flags ?? []);
    this.levels = kept?.level;
    this.usual = usual;
    this.ownSpeed = kept?.speed ?? null;
    this.rates = kept?.decay;
    this.ownYard = kept?.yard;
  }

  get decay(): DecayRates {
    return this.rates ?? DECAY_RATES;
  }
  set decay(rates: DecayRates) {
    this.rates = rates;
    this.save();
  }

  /** The speed of the standard processor in whose terms loads are shown to people here. */
  get yard(): number {
    return this.ownYard ?? STANDARD_SPEED;
  }
  set yard(speed: number) {
    this.ownYard = speed;
    this.save();
  }

  get level(): boolean {
    return this.levels ?? this.usual();
  }
  set level(on: boolean) {
    this.levels = on;
    this.save();
  }

  /** Null: as the yardstick has it. */
  get speed(): number | null {
    return this.ownSpeed;
  }
  set speed(speed: number | null) {
    this.ownSpeed = speed;
    this.save();
  }

  has(flag: Flag): boolean {
    return this.flags.has(flag);
  }
  set(flag: Flag, on: boolean): void {
    if (on) this.flags.add(flag);
    else this.flags.delete(flag);
    this.save();
  }
  /** For the row of `tesela nodes`. */
  list(): string[] {
    return FLAGS.filter((f) => this.flags.has(f));
  }

  private save(): void {
    const level = this.levels === undefined ? {} : { level: this.levels };
    const speed = this.ownSpeed === null ? {} : { speed: this.ownSpeed };
    const decay = this.rates === undefined ? {} : { decay: this.rates };
    const yard = this.ownYard === undefined ? {} : { yard: this.ownYard };
    writeWhole(this.file, { flags: [...this.flags], ...level, ...speed, ...decay, ...yard } satisfies Kept);
  }
}

/** 10000 is the reference processor. */
export const isSpeed = (value: unknown): value is number =>
  Number.isInteger(value) && (value as number) >= 1 && (value as number) <= MOST_SPEED;
const MOST_SPEED = 10_000_000;

function read(file: string): Kept | null {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw new TeselaError("E_CONFIG", `${file}: ${(e as Error).message}`, {}, { cause: e });
  }
  try {
    const { flags, level, speed, decay, yard } = JSON.parse(text) as Record<string, unknown>;
    const known = Array.isArray(flags) && flags.every((f) => FLAGS.includes(f as Flag));
    const numbers = (speed === undefined || isSpeed(speed)) && (yard === undefined || isSpeed(yard));
    if (known && numbers && (level === undefined || typeof level === "boolean") && (decay === undefined || isRates(decay as DecayRates))) {
      const said = { ...(level !== undefined && { level }), ...(speed !== undefined && { speed }), ...(yard !== undefined && { yard }) };
      return { flags, ...said, ...(decay !== undefined && { decay: decay as DecayRates }) };
    }
  } catch (cause) {
    throw new TeselaError("E_CONFIG", `${file}: ${(cause as Error).message}: remove it, and say again what it said`, {}, { cause });
  }
  throw new TeselaError("E_CONFIG", `${file}: want {"flags":["block"],"level":true}: remove it, and say again what it said`);
}
