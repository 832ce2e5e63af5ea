import assert from "node:assert/strict";
import { test } from "node:test";
import { Decoder, Encoder } from "cbor-x";
import fc from "fast-check";
import { TeselaError } from "../base/mod.ts";
import { CborReader, CborWriter } from "./cbor.ts";
import { MAX_DEPTH } from "./limits.ts";
import {
  bool,
  bytes,
  type Data,
  data,
  type Field,
  i32,
  int,
  list,
  nullable,
  num,
  obj,
  oneOf,
  opt,
  size,
  str,
  u8,
  u16,
  u32,
  u64,
} from "./schema.ts";

const encoder = new Encoder({ useRecords: false, mapsAsObjects: true, variableMapSize: true });
const decoder = new Decoder({ useRecords: false, mapsAsObjects: true });

function write<T>(field: Field<T>, value: T): Buffer {
  const w = new CborWriter();
  field.write(w, value);
  return Buffer.from(w.bytes());
}
function read<T>(field: Field<T>, encoded: Uint8Array): T {
  const r = new CborReader(Buffer.from(encoded));
  const value = field.read(r, 0);
  assert.ok(r.done);
  return value;
}
const isProtocol = (e: unknown) => e instanceof TeselaError && e.code === "E_PROTOCOL";
const isBug = (e: unknown) => e instanceof TeselaError && e.code === "E_INTERNAL";

const jsonLike = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.constant(null),
    fc.boolean(),
    fc.maxSafeInteger(),
    fc.double({ noNaN: true }).map((d) => (Number.isSafeInteger(d) ? 0.5 : d)),
    fc.string({ unit: "binary" }),
    fc.uint8Array({ maxLength: 300 }).map((b) => Buffer.from(b)),
    fc.array(tie("value"), { maxLength: 5 }),
    fc.dictionary(
      fc.string({ unit: "grapheme" }).filter((k) => k !== "__proto__"),
      tie("value"),
      { maxKeys: 5, noNullPrototype: true },
    ),
  ),
})).value;

test("what is written is CBOR: another implementation reads the same", () => {
  fc.assert(fc.property(jsonLike, (value) => assert.deepEqual(normal(decoder.decode(write(data, value as Data))), normal(value))));
});

test("what another implementation writes is read, as long as it keeps to the subset", () => {
  fc.assert(fc.property(jsonLike, (value) => assert.deepEqual(normal(read(data, encoder.encode(value))), normal(value))));
});

/** Where the two differ: -0 may be written as the integer 0, and integers beyond 32 bits read as bigint. */
function normal(value: unknown): unknown {
  if (Object.is(value, -0)) return 0;
  if (typeof value === "bigint" && value >= -(2n ** 53n) && value <= 2n ** 53n) return Number(value);
  if (value instanceof Uint8Array) return value;
  if (Array.isArray(value)) return value.map(normal);
  if (value !== null && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, normal(v)]));
  return value;
}

test("examples of RFC 8949, appendix A", () => {
  const examples: [Data, string][] = [
    [0, "00"],
    [23, "17"],
    [24, "1818"],
    [100, "1864"],
    [1000, "1903e8"],
    [1_000_000, "1a000f4240"],
    [1_000_000_000_000, "1b000000e8d4a51000"],
    [18446744073709551615n, "1bffffffffffffffff"],
    [-1, "20"],
    [-100, "3863"],
    [-1000, "3903e7"],
    [1.1, "fb3ff199999999999a"],
    [-4.1, "fbc010666666666666"],
    [false, "f4"],
    [true, "f5"],
    [null, "f6"],
    [Buffer.from("01020304", "hex"), "4401020304"],
    ["", "60"],
    ["IETF", "6449455446"],
    ["\u00fc", "62c3bc"],
    ["\u6c34", "63e6b0b4"],
    [[], "80"],
    [[1, [2, 3], [4, 5]], "8301820203820405"],
    [{}, "a0"],
    [{ a: 1, b: [2, 3] }, "a26161016162820203"],
  ];
  for (const [value, hex] of examples) {
    assert.equal(write(data, value).toString("hex"), hex);
    assert.deepEqual(read(data, Buffer.from(hex, "hex")), value);
  }
});

test("each field comes back as it was given, at its limits too", () => {
  const cases: [Field<never>, readonly unknown[]][] = [
    [u8 as Field<never>, [0, 23, 24, 255]],
    [u16 as Field<never>, [0, 256, 65535]],
    [u32 as Field<never>, [0, 65536, 2 ** 32 - 1]],
    [i32 as Field<never>, [-(2 ** 31), -1, 0, 2 ** 31 - 1]],
    [size as Field<never>, [0, 2 ** 32, Number.MAX_SAFE_INTEGER]],
    [int as Field<never>, [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER]],
    [u64 as Field<never>, [0n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 53n + 1n, 2n ** 64n - 1n]],
    [num as Field<never>, [0, -0, 1.5, Number.NaN, Number.NEGATIVE_INFINITY, 2 ** 60]],
    [bool as Field<never>, [true, false]],
    [str(5) as Field<never>, ["", "abcde", "h\u00e9lo"]],
    [str() as Field<never>, ["x".repeat(4096), "\ufeffmark", "\u{1f600}".repeat(20)]],
    [bytes(4) as Field<never>, [Buffer.alloc(0), Buffer.from([1, 2, 3, 4])]],
    [oneOf("deliver", "handled") as Field<never>, ["handled"]],
    [list(u8, 3) as Field<never>, [[], [1, 2, 3]]],
    [nullable(u8) as Field<never>, [null, 7]],
    [
      obj({ a: u8, b: opt(str(9)), c: opt(obj({ d: list(u64, 2) })) }) as Field<never>,
      [{ a: 1 }, { a: 1, b: "x" }, { a: 1, c: { d: [5n] } }],
    ],
  ];
  for (const [field, values] of cases)
    for (const value of values) assert.deepEqual(read(field, write(field, value as never)), value, field.type);
});

test("a value that the peer would refuse is refused before it is sent", () => {
  const cases: [Field<never>, unknown][] = [
    [u8 as Field<never>, 256],
    [u8 as Field<never>, -1],
    [u8 as Field<never>, 1.5],
    [u8 as Field<never>, "1"],
    [u8 as Field<never>, undefined],
    [int as Field<never>, 2 ** 53],
    [u64 as Field<never>, -1n],
    [u64 as Field<never>, 2n ** 64n],
    [u64 as Field<never>, 1],
    [num as Field<never>, 1n],
    [bool as Field<never>, 0],
    [str(3) as Field<never>, "h\u00e9lo"],
    [bytes(1) as Field<never>, Buffer.alloc(2)],
    [bytes(1) as Field<never>, [1]],
    [oneOf("a") as Field<never>, "b"],
    [list(u8, 1) as Field<never>, [1, 2]],
    [list(u8, 1) as Field<never>, 1],
    [obj({ a: u8 }) as Field<never>, {}],
  ];
  for (const [field, value] of cases) assert.throws(() => write(field, value as never), isBug, `${field.type} ${String(value)}`);
});

test("a head that is too long is a bug of the sender, not a broken frame", () => {
  assert.throws(
    () =>
      write(
        list(str(1000), 100),
        Array.from({ length: 100 }, () => "x".repeat(1000)),
      ),
    isBug,
  );
});

/** A map with these keys in this order, repeated ones and all. */
function mapOf(...entries: readonly (readonly [string, Data])[]): Buffer {
  assert.ok(entries.length < 24);
  return Buffer.concat([Buffer.of(0xa0 | entries.length), ...entries.flatMap(([key, value]) => [write(data, key), write(data, value)])]);
}

test("a map: unknown keys are passed over, missing and repeated ones refused, the order is free", () => {
  const shape = obj({ a: u8, b: opt(u8), c: str(9) });
  assert.deepEqual(read(shape, mapOf(["c", "x"], ["a", 1])), { c: "x", a: 1 });
  const strange: Data = { deep: [1, { x: [null, true, 0.5, Buffer.of(1)] }] };
  assert.deepEqual(read(shape, mapOf(["new", strange], ["a", 1], ["b", 2], ["later", -5], ["c", "x"])), { a: 1, b: 2, c: "x" });
  assert.throws(() => read(shape, mapOf(["a", 1])), /'c' is missing/);
  assert.throws(() => read(shape, mapOf(["a", 1], ["c", "x"], ["a", 2])), /'a' twice/);
  assert.throws(() => read(shape, mapOf(["a", "1"], ["c", "x"])), isProtocol);
});

test("names of Object.prototype are keys as any other, but for the one that sets the prototype", () => {
  const entries = Object.entries(read(data, mapOf(["constructor", 1], ["toString", 2])) as object);
  assert.deepEqual(entries, Object.entries({ constructor: 1, toString: 2 }));
  assert.throws(() => read(data, mapOf(["__proto__", {}])), isProtocol);
  assert.throws(() => read(data, mapOf(["a", 1], ["a", 1])), isProtocol);
});

test("nesting has a limit, also in fields that are passed over", () => {
  const nested = (n: number) => Buffer.concat([Buffer.alloc(n, 0x81), Buffer.of(0)]);
  assert.ok(Array.isArray(read(data, nested(MAX_DEPTH))));
  for (const depth of [MAX_DEPTH + 1, 60_000]) {
    assert.throws(() => read(data, nested(depth)), /nested deeper/);
    assert.throws(() => read(obj({}), Buffer.concat([Buffer.from("a16178", "hex"), nested(depth)])), /nested deeper/);
  }
});

test("what is not of the subset is refused", () => {
  const bad: Record<string, string> = {
    tag: "c11a514b67b0",
    undefined: "f7",
    "half float": "f93c00",
    "single float": "fa47c35000",
    "indefinite array": "9fff",
    "indefinite text": "7f61ff",
    break: "ff",
    "reserved length": "1c",
    "text that is not UTF-8": "62c328",
    "a surrogate": "63eda080",
    "text cut short": "6461",
    "an array without items": "82",
    "a huge array": "9b00ffffffffffffff",
    "a huge map": "bbffffffffffffffff",
    "huge bytes": "5bffffffffffffffff",
    "huge text": "7a7fffffff",
    nothing: "",
  };
  for (const [what, hex] of Object.entries(bad)) {
    assert.throws(() => read(data, Buffer.from(hex, "hex")), isProtocol, what);
    // What is inside of text that is passed over is of no interest.
    if (!/UTF-8|surrogate/.test(what))
      assert.throws(() => read(obj({}), Buffer.from(`a16178${hex}`, "hex")), isProtocol, `${what}, passed over`);
  }
});
