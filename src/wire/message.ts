import { type Field, obj, type Shape, type ShapeValue } from "./schema.ts";

/** One kind of frame. `H` is what its head says; a raw message has no head, its payload is all (for what must be cheap). */
export interface MessageDef<H> {
  readonly id: number;
  /** null: raw, the frame's head is empty. */
  readonly head: Field<H> | null;
}

/** A message whose head is a map of these fields. Ids are for life: see registry.ts. */
export function msg<S extends Shape>(id: number, shape: S): MessageDef<ShapeValue<S>> {
  return { id, head: obj(shape) };
}

/** A message without a head. */
export function raw(id: number): MessageDef<null> {
  return { id, head: null };
}

export type MessageTable = Readonly<Record<string, MessageDef<unknown>>>;
export type HeadOf<D> = D extends MessageDef<infer H> ? H : never;

/** A decoded frame: tells its kind by `type`. `payload` is a view of the received bytes. */
export type Decoded<M extends MessageTable> = {
  [K in keyof M & string]: { readonly type: K; readonly head: HeadOf<M[K]>; readonly payload: Buffer };
}[keyof M & string];

/** Checks the table once, at start: ids are 1 to 255 and differ. */
export function defineMessages<const M extends MessageTable>(table: M): M {
  const seen = new Map<number, string>();
  for (const [name, { id }] of Object.entries(table)) {
    if (!Number.isInteger(id) || id < 1 || id > 255) throw new RangeError(`message ${name}: id ${id}, want 1 to 255`);
    const other = seen.get(id);
    if (other !== undefined) throw new RangeError(`message ${name}: id ${id} belongs to ${other}`);
    seen.set(id, name);
  }
  return table;
}
