import { TeselaError } from "../base/mod.ts";
import { type CborReader, CborWriter, FLOAT64, MAJOR, malformed } from "./cbor.ts";
import { MAX_DEPTH, MAX_HEAD, MAX_TEXT } from "./limits.ts";

/**
 * How one field of a head is written, read and checked. Reading throws E_PROTOCOL for anything but a valid value; writing throws
 * E_INTERNAL for a value that the peer would refuse. `sample` and `minimal`, with everything optional and without, go into the
 * golden files.
 */
export interface Field<T> {
  readonly type: string;
  readonly optional?: true;
  readonly sample: T;
  readonly minimal?: T;
  write(w: CborWriter, value: T): void;
  read(r: CborReader, depth: number): T;
}
export interface OptionalField<T> extends Field<T> {
  readonly optional: true;
}

export type Shape = Readonly<Record<string, Field<unknown>>>;
type Value<F> = F extends Field<infer T> ? T : never;
type OptionalKeys<S extends Shape> = { [K in keyof S]: S[K] extends { readonly optional: true } ? K : never }[keyof S];
/** The object that a shape describes. */
export type ShapeValue<S extends Shape> = { readonly [K in Exclude<keyof S, OptionalKeys<S>>]: Value<S[K]> } & {
  readonly [K in OptionalKeys<S>]?: Value<S[K]> | undefined;
};

function wrong(type: string, value: unknown): TeselaError {
  return new TeselaError("E_INTERNAL", `a frame head wants ${type}, not ${typeof value} ${String(value).slice(0, 40)}`);
}

/** The least that a field can say. */
export function minimalOf<T>(field: Field<T>): T {
  return field.minimal === undefined ? field.sample : field.minimal;
}

/** An integer in [min, max], both safe integers. */
export function range(min: number, max: number): Field<number> {
  const type = `int ${min}..${max}`;
  return {
    type,
    sample: Math.min(max, Math.max(min, 300)),
    write(w, v) {
      if (!Number.isInteger(v) || v < min || v > max) throw wrong(type, v);
      w.int(v);
    },
    read(r) {
      const v = r.int();
      if (v < min || v > max) throw malformed(`${v} is not in ${min}..${max}`);
      return v;
    },
  };
}

/** Any safe integer. */
export const int = range(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
export const u8 = range(0, 0xff);
export const u16 = range(0, 0xffff);
export const u32 = range(0, 0xffff_ffff);
export const i32 = range(-0x8000_0000, 0x7fff_ffff);
/** A size, an offset, a count: 0 to 2^53-1. */
export const size = range(0, Number.MAX_SAFE_INTEGER);

/** 0n to 2^64-1: addresses, registers, system call arguments. */
export const u64: Field<bigint> = {
  type: "u64",
  sample: 0x7fff_f7dd_3000n,
  write(w, v) {
    if (typeof v !== "bigint" || v < 0n || v >> 64n !== 0n) throw wrong("u64", v);
    w.u64(v);
  },
  read: (r) => r.u64(),
};

/** A double: times, rates. */
export const num: Field<number> = {
  type: "num",
  sample: 0.25,
  write(w, v) {
    if (typeof v !== "number") throw wrong("num", v);
    w.float(v);
  },
  read: (r) => r.float(),
};

export const bool: Field<boolean> = {
  type: "bool",
  sample: true,
  write(w, v) {
    if (typeof v !== "boolean") throw wrong("bool", v);
    w.bool(v);
  },
  read: (r) => r.bool(),
};

/** Text of at most `max` bytes of UTF-8. */
export function str(max = MAX_TEXT): Field<string> {
  const type = `str(${max})`;
  return {
    type,
    sample: "knot \u2713".slice(0, max),
    write(w, v) {
      if (typeof v !== "string" || Buffer.byteLength(v) > max) throw wrong(type, v);
      w.text(v);
    },
    read: (r) => r.text(max),
  };
}

/** At most `max` bytes; read as a view into the frame, so copy what is kept for long. */
export function bytes(max: number): Field<Uint8Array> {
  const type = `bytes(${max})`;
  return {
    type,
    sample: Uint8Array.of(0, 1, 254, 255).subarray(0, max),
    write(w, v) {
      if (!(v instanceof Uint8Array) || v.length > max) throw wrong(type, v);
      w.bytesItem(v);
    },
    read: (r) => r.bytes(max),
  };
}

/** One of these words. */
export function oneOf<const T extends string>(...words: readonly [T, ...T[]]): Field<T> {
  const known = new Set<string>(words);
  const type = words.join("|");
  return {
    type,
    sample: words[0],
    write(w, v) {
      if (!known.has(v)) throw wrong(type, v);
      w.text(v);
    },
    read(r) {
      const v = r.text(MAX_TEXT);
      if (!known.has(v)) throw malformed(`'${v.slice(0, 40)}' is none of ${type}`);
      return v as T;
    },
  };
}

export function list<T>(of: Field<T>, max: number): Field<readonly T[]> {
  const type = `list(${of.type}, ${max})`;
  return {
    type,
    sample: [of.sample, of.sample].slice(0, max),
    minimal: [],
    write(w, v) {
      if (!Array.isArray(v) || v.length > max) throw wrong(type, v);
      w.type(MAJOR.ARRAY, v.length);
      for (const item of v) of.write(w, item as T);
    },
    read(r, depth) {
      if (depth > MAX_DEPTH) throw malformed(`nested deeper than ${MAX_DEPTH}`);
      const n = r.count(MAJOR.ARRAY);
      if (n > max) throw malformed(`a list of ${n} where at most ${max} belong`);
      const out: T[] = [];
      for (let i = 0; i < n; i++) out.push(of.read(r, depth + 1));
      return out;
    },
  };
}

/** The value or null, always present. */
export function nullable<T>(of: Field<T>): Field<T | null> {
  return {
    type: `${of.type}|null`,
    sample: of.sample,
    minimal: null,
    write(w, v) {
      if (v === null) w.null();
      else of.write(w, v);
    },
    read(r, depth) {
      if (!r.peekNull()) return of.read(r, depth);
      r.null();
      return null;
    },
  };
}

/** May be left out. Fields added to a message after its release must be optional. */
export function opt<T>(of: Field<T>): OptionalField<T> {
  return { ...of, type: `${of.type}?`, optional: true };
}

/** A map with text keys. Unknown keys are passed over (a newer peer), missing and repeated ones refused. */
export function obj<S extends Shape>(shape: S): Field<ShapeValue<S>> {
  const names = Object.keys(shape);
  const fields = names.map((name) => shape[name] as Field<unknown>);
  const keys = names.map((name) => {
    const w = new CborWriter(64 + name.length);
    w.text(name);
    return Buffer.from(w.bytes());
  });
  const required = fields.filter((f) => !f.optional).length;
  return {
    type: `{${names.map((n, i) => `${n}: ${fields[i]?.type}`).join(", ")}}`,
    sample: Object.fromEntries(names.map((n, i) => [n, fields[i]?.sample])) as ShapeValue<S>,
    minimal: Object.fromEntries(
      names.flatMap((n, i) => (fields[i]?.optional ? [] : [[n, minimalOf(fields[i] as Field<unknown>)]])),
    ) as ShapeValue<S>,
    write(w, value) {
      const v = value as Record<string, unknown>;
      let count = required;
      for (let i = 0; i < fields.length; i++) if (fields[i]?.optional && v[names[i] as string] !== undefined) count++;
      w.type(MAJOR.MAP, count);
      for (let i = 0; i < fields.length; i++) {
        const field = fields[i] as Field<unknown>;
        const item = v[names[i] as string];
        if (item === undefined && field.optional) continue;
        w.raw(keys[i] as Buffer);
        field.write(w, item);
      }
    },
    read(r, depth) {
      if (depth > MAX_DEPTH) throw malformed(`nested deeper than ${MAX_DEPTH}`);
      const out: Record<string, unknown> = {};
      let missing = required;
      let next = 0;
      for (let n = r.count(MAJOR.MAP); n > 0; n--) {
        // Peers write in the order of the shape: the next key is nearly always the expected one.
        let at = next;
        while (at < fields.length && fields[at]?.optional && !r.at(keys[at] as Buffer)) at++;
        if (at < fields.length && r.at(keys[at] as Buffer)) {
          r.pos += (keys[at] as Buffer).length;
          next = at + 1;
        } else at = names.indexOf(r.text(MAX_TEXT));
        const field = fields[at];
        if (field === undefined) {
          r.skip(depth + 1);
          continue;
        }
        const name = names[at] as string;
        if (Object.hasOwn(out, name)) throw malformed(`'${name}' twice`);
        out[name] = field.read(r, depth + 1);
        if (!field.optional) missing--;
      }
      if (missing > 0) throw malformed(`'${names.find((k, i) => !fields[i]?.optional && !Object.hasOwn(out, k))}' is missing`);
      return out as ShapeValue<S>;
    },
  };
}

/**
 * Whatever JSON can say, plus byte strings and 64-bit integers: details of an error, never a hot field. Integers come back as
 * numbers when they are safe, as bigint otherwise.
 */
export type Data = null | boolean | number | bigint | string | Uint8Array | readonly Data[] | { readonly [key: string]: Data | undefined };

export const data: Field<Data> = {
  type: "data",
  sample: { reasons: ["sysv_shm"], more: { n: -1, x: 0.5, none: null, yes: true, big: 0xffff_ffff_ffff_ffffn } },
  write: writeData,
  read: readData,
};

function writeData(w: CborWriter, v: Data): void {
  if (v === null) w.null();
  else if (typeof v === "boolean") w.bool(v);
  else if (typeof v === "number") Number.isSafeInteger(v) ? w.int(v) : w.float(v);
  else if (typeof v === "bigint") u64.write(w, v);
  else if (typeof v === "string") w.text(v);
  else if (v instanceof Uint8Array) w.bytesItem(v);
  else if (Array.isArray(v)) {
    w.type(MAJOR.ARRAY, v.length);
    for (const item of v) writeData(w, item as Data);
  } else if (typeof v === "object") {
    const entries = Object.entries(v).filter((e): e is [string, Data] => e[1] !== undefined);
    w.type(MAJOR.MAP, entries.length);
    for (const [key, item] of entries) {
      w.text(key);
      writeData(w, item);
    }
  } else throw wrong("data", v);
}

function readData(r: CborReader, depth: number): Data {
  if (depth > MAX_DEPTH) throw malformed(`nested deeper than ${MAX_DEPTH}`);
  const first = r.peek();
  switch (first >> 5) {
    case MAJOR.UINT: {
      const v = r.u64();
      return v <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(v) : v;
    }
    case MAJOR.NEGINT:
      return r.int();
    case MAJOR.BYTES:
      return r.bytes(MAX_HEAD);
    case MAJOR.TEXT:
      return r.text(MAX_HEAD);
    case MAJOR.ARRAY: {
      const out: Data[] = [];
      for (let n = r.count(MAJOR.ARRAY); n > 0; n--) out.push(readData(r, depth + 1));
      return out;
    }
    case MAJOR.MAP: {
      const out: Record<string, Data> = {};
      for (let n = r.count(MAJOR.MAP); n > 0; n--) {
        const key = r.text(MAX_HEAD);
        if (key === "__proto__" || Object.hasOwn(out, key)) throw malformed(`key '${key.slice(0, 40)}' is not allowed or there twice`);
        out[key] = readData(r, depth + 1);
      }
      return out;
    }
    default:
      if (r.peekNull()) {
        r.null();
        return null;
      }
      return first === FLOAT64 ? r.float() : r.bool();
  }
}
