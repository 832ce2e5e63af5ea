/** What may be said about one setting; the reader, `tesela config` and docs/configuration.md are made from it. */
interface Words {
  /** What it does, and by which formula. */
  readonly does: string;
  /** What more and less of it bring, or what each choice does. */
  readonly trade: string;
}

export interface NumberRow extends Words {
  readonly kind: "number";
  readonly default: number;
  readonly least: number;
  readonly most: number;
  readonly whole: boolean;
  /** `ms`, `bytes`, ...; nothing for a ratio or a count. */
  readonly unit?: string;
}
export interface FlagRow extends Words {
  readonly kind: "flag";
  readonly default: boolean;
}
export interface ChoiceRow extends Words {
  readonly kind: "choice";
  readonly default: string;
  readonly choices: readonly string[];
}
export interface PathRow extends Words {
  readonly kind: "path";
  readonly default: string;
}
export type Row = NumberRow | FlagRow | ChoiceRow | PathRow;
export type Value = Row["default"];

export interface Section {
  readonly about: string;
  readonly rows: Readonly<Record<string, Row>>;
}

/** A number without its default, which is where the code that uses it has it. */
type Unset = Omit<NumberRow, "default" | "kind">;
/** One for each of these names, none left out. */
export type Unsets<K extends string> = Readonly<Record<K, Unset>>;

export const ratio = (least: number, most: number, does: string, trade: string): Unset => ({ least, most, whole: false, does, trade });
export const count = (least: number, most: number, does: string, trade: string): Unset => ({ least, most, whole: true, does, trade });
export const millis = (least: number, most: number, does: string, trade: string): Unset => ({
  ...count(least, most, does, trade),
  unit: "ms",
});
export const bytes = (least: number, most: number, does: string, trade: string): Unset => ({
  ...count(least, most, does, trade),
  unit: "bytes",
});

/** Rows for knobs whose defaults are in an object. */
export function rowsOf<K extends string>(unsets: Unsets<K>, defaults: Readonly<Record<K, number>>): Record<K, NumberRow> {
  const made = Object.entries<Unset>(unsets).map(([key, row]) => [key, { ...row, kind: "number", default: defaults[key as K] }]);
  return Object.fromEntries(made) as Record<K, NumberRow>;
}

/** What a value has to be, for people: `a whole number of ms, 100 to 60000`. */
export function wanted(row: Row): string {
  switch (row.kind) {
    case "number":
      return `a ${row.whole ? "whole " : ""}number${row.unit ? ` of ${row.unit}` : ""}, ${row.least} to ${row.most}`;
    case "flag":
      return "true or false";
    case "choice":
      return row.choices.map((c) => JSON.stringify(c)).join(" or ");
    case "path":
      return "a full path in quotes";
  }
}

export function fits(row: Row, value: unknown): value is Value {
  switch (row.kind) {
    case "number":
      return typeof value === "number" && value >= row.least && value <= row.most && (!row.whole || Number.isInteger(value));
    case "flag":
      return typeof value === "boolean";
    case "choice":
      return typeof value === "string" && row.choices.includes(value);
    case "path":
      return typeof value === "string" && /^\/[^\0\n]*$/.test(value);
  }
}
