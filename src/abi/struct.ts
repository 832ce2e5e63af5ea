/**
 * Layouts of C structures as data. Fields are laid out in order by the x86-64 rules (natural alignment, unless packed);
 * the C probe in the tests checks every size and offset against the compiler.
 */

/** A number of so many bytes, a run of bytes, or a structure inside. */
export type FieldType =
  | "u8"
  | "i8"
  | "u16"
  | "i16"
  | "u32"
  | "i32"
  | "u64"
  | "i64"
  | { readonly bytes: number; readonly align?: number }
  | Struct;

export interface Struct<F extends string = string> {
  /** The C type, as `struct stat`. */
  readonly name: string;
  readonly headers: readonly string[];
  /** Bytes, padding at the end included. */
  readonly size: number;
  readonly align: number;
  /** Where each field begins. */
  readonly at: Readonly<Record<F, number>>;
  /** How many bytes each field has. */
  readonly width: Readonly<Record<F, number>>;
  /** Later kernels add fields at its end. */
  readonly grows: boolean;
  /** C spelling of a field where it is another than ours (a union member); empty for what has no name in C. */
  readonly cname: Readonly<Partial<Record<F, string>>>;
}

export interface StructOptions {
  readonly packed?: boolean;
  /** Total size where the type has a tail that the fields do not tell. */
  readonly size?: number;
  readonly grows?: boolean;
  /** Alignment where it is larger than the fields ask for. */
  readonly align?: number;
  /** Field spelling in C by our name. */
  readonly c?: Readonly<Record<string, string>>;
}

const up = (n: number, to: number): number => Math.ceil(n / to) * to;

function measure(type: FieldType): { size: number; align: number } {
  if (typeof type === "string") {
    const size = Number(type.slice(1)) / 8;
    return { size, align: size };
  }
  if ("bytes" in type) return { size: type.bytes, align: type.align ?? 1 };
  return type;
}

/** `n` values of one size in a row. */
export const array = (type: FieldType, n: number): FieldType => {
  const { size, align } = measure(type);
  return { bytes: size * n, align };
};

export function struct<const T extends Readonly<Record<string, FieldType>>>(
  name: string,
  headers: readonly string[],
  fields: T,
  options: StructOptions = {},
): Struct<Extract<keyof T, string>> {
  const at: Record<string, number> = {};
  const width: Record<string, number> = {};
  let end = 0;
  let widest = options.align ?? 1;
  for (const [field, type] of Object.entries(fields)) {
    const { size, align } = measure(type);
    const to = options.packed ? 1 : align;
    end = up(end, to);
    widest = Math.max(widest, to);
    at[field] = end;
    width[field] = size;
    end += size;
  }
  return {
    name,
    headers,
    size: options.size ?? up(end, widest),
    align: widest,
    grows: options.grows ?? false,
    at: at as Record<Extract<keyof T, string>, number>,
    width: width as Record<Extract<keyof T, string>, number>,
    cname: (options.c ?? {}) as Partial<Record<Extract<keyof T, string>, string>>,
  };
}
