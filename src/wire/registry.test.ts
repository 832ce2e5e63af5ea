/**
 * The registry against its golden files, test/golden/wire/ID-NAME.hex: what each message looked like when it was released. With
 * TESELA_GOLDEN=write they are written for new messages, and for messages that gained optional fields; the frames that a
 * message had before stay in its file, and have to be readable for ever.
 */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { test } from "node:test";
import { codec } from "./mod.ts";
import { FrameReader, type RawFrame } from "./frame.ts";
import { defineMessages, type MessageDef, raw } from "./message.ts";
import { MESSAGES, type MessageName, RETIRED } from "./registry.ts";
import { minimalOf } from "./schema.ts";

const DIR = fileURLToPath(new URL("../../test/golden/wire", import.meta.url));
const WRITE = process.env["TESELA_GOLDEN"] === "write";
const PAYLOAD = Buffer.from("tesela");

const fileName = (id: number, name: string): string => `${String(id).padStart(3, "0")}-${name}.hex`;

interface Golden {
  /** The shape, for readers. */
  readonly shape: string;
  /** Without anything optional, and with everything. */
  readonly min: string;
  readonly full: string;
  /** Frames of earlier versions. */
  readonly was: readonly string[];
}

function current(name: MessageName): Omit<Golden, "was"> {
  const def: MessageDef<unknown> = MESSAGES[name];
  const encode = (head: unknown, payload: Buffer[]) => Buffer.concat(codec.encode(name, head as never, payload)).toString("hex");
  return {
    shape: def.head === null ? "raw" : def.head.type,
    min: encode(def.head === null ? null : minimalOf(def.head), []),
    full: encode(def.head === null ? null : def.head.sample, [PAYLOAD]),
  };
}

function parse(text: string): Golden {
  const of = (key: string) => [...text.matchAll(new RegExp(`^${key} +(.+)$`, "gm"))].map((m) => m[1] as string);
  return { shape: of("shape")[0] ?? "", min: of("min")[0] ?? "", full: of("full")[0] ?? "", was: of("was") };
}

function format(g: Golden): string {
  return [`shape ${g.shape}`, `min   ${g.min}`, `full  ${g.full}`, ...g.was.map((hex) => `was   ${hex}`), ""].join("\n");
}

function decode(hex: string): ReturnType<typeof codec.decode> {
  const frames: RawFrame[] = [];
  new FrameReader((f) => frames.push(f)).push(Buffer.from(hex, "hex"));
  assert.equal(frames.length, 1);
  return codec.decode(frames[0] as RawFrame);
}

for (const name of Object.keys(MESSAGES) as MessageName[]) {
  test(`message ${name} is on the wire as it was released`, () => {
    const path = `${DIR}/${fileName(MESSAGES[name].id, name)}`;
    const now = current(name);
    const known = existsSync(path) ? parse(readFileSync(path, "utf8")) : null;
    if (WRITE) {
      const was = known === null ? [] : [known.min, known.full, ...known.was].filter((hex) => hex !== now.min && hex !== now.full);
      // A frame of before that cannot be read is found below, before it is lost.
      for (const hex of was) decode(hex);
      writeFileSync(path, format({ ...now, was: [...new Set(was)] }));
    }
    assert.ok(known !== null || WRITE, `no golden file for ${name}: TESELA_GOLDEN=write node --test src/wire/registry.test.ts`);
    const golden = parse(readFileSync(path, "utf8"));
    assert.deepEqual(now, { shape: golden.shape, min: golden.min, full: golden.full });
    for (const hex of [golden.min, golden.full, ...golden.was]) assert.equal(decode(hex).type, name);
    const full = decode(golden.full);
    const def: MessageDef<unknown> = MESSAGES[name];
    assert.deepEqual(plain(full.head), def.head === null ? null : plain(def.head.sample));
    assert.ok(full.payload.equals(PAYLOAD));
  });
}

/** Byte strings compare as such, whatever their class. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  if (Array.isArray(value)) return value.map(plain);
  if (value !== null && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, plain(v)]));
  return value;
}

test("an id never changes its meaning: each released one has its message still, or is retired", () => {
  const names = new Map(Object.entries(RETIRED).map(([id, name]) => [Number(id), name]));
  for (const [name, { id }] of Object.entries(MESSAGES)) {
    assert.equal(names.get(id), undefined, `id ${id} of ${name} was retired with ${names.get(id)}`);
    names.set(id, name);
  }
  const released = readdirSync(DIR).map((file) => /^(\d{3})-(\w+)\.hex$/.exec(file));
  const ids = new Set<number>();
  for (const m of released) {
    assert.ok(m, "a file that is no golden file");
    const id = Number(m[1]);
    assert.ok(!ids.has(id), `two golden files for id ${id}`);
    ids.add(id);
    assert.equal(names.get(id), m[2], `id ${id} was released as ${m[2]}: put it into RETIRED and take a new id`);
  }
});

test("a table with an id twice, or out of range, is refused at start", () => {
  assert.throws(() => defineMessages({ a: raw(7), b: raw(7) }), /id 7 belongs to a/);
  for (const id of [0, 256, 1.5, -1]) assert.throws(() => defineMessages({ a: raw(id) }), /want 1 to 255/);
});
