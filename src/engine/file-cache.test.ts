import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { fstatSync, readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { TeselaError } from "../base/mod.ts";
import { CACHE_BYTES, CACHE_FILES, COMING_BYTES, FileCache, hashOfMapping } from "./file-cache.ts";

const sha = (b: Uint8Array): string => createHash("sha256").update(b).digest("hex");
const isProtocol = (e: unknown): boolean => e instanceof TeselaError && e.code === "E_PROTOCOL";
const open = (): number => readdirSync("/proc/self/fd").length;

function put(cache: FileCache, content: Buffer): string {
  const hash = sha(content);
  using file = cache.create(hash, content.length);
  file.write(content);
  file.commit();
  return hash;
}

test("a content is kept under its hash", () => {
  using cache = new FileCache();
  const content = Buffer.from("some library");
  const hash = sha(content);
  using file = cache.create(hash, content.length);
  file.write(content.subarray(0, 4));
  assert.ok(!cache.has(hash), "not before it is all there");
  file.write(content.subarray(4));
  file.commit();
  assert.ok(cache.has(hash));
  assert.deepEqual(readFileSync(`/proc/self/fd/${cache.fd(hash)}`), content);
  assert.throws(() => cache.fd(sha(Buffer.from("another"))), isProtocol);
});

test("what is not what its sender said is refused, and leaves nothing", () => {
  using cache = new FileCache();
  const before = open();
  const content = Buffer.from("some library");
  const hash = sha(content);
  assert.throws(() => cache.create("../../etc/passwd", 1), isProtocol);
  for (const [said, written] of [
    [content.length, Buffer.from("evil library")],
    [content.length, content.subarray(1)],
    [content.length - 1, content],
    [content.length + 1, content],
    [0, content],
  ] as const) {
    using file = cache.create(hash, said);
    assert.throws(() => {
      file.write(written);
      file.commit();
    }, isProtocol);
  }
  assert.ok(!cache.has(hash));
  assert.equal(open(), before);
});

test("the same content twice at the same time is kept once", () => {
  using cache = new FileCache();
  const before = open();
  const content = Buffer.from("twice");
  const hash = sha(content);
  using first = cache.create(hash, content.length);
  using second = cache.create(hash, content.length);
  for (const file of [first, second]) {
    file.write(content);
    file.commit();
  }
  assert.equal(fstatSync(cache.fd(hash)).size, content.length);
  assert.equal(open(), before + 1);
});

test("the least lately used goes first, and the number of descriptors is bounded", () => {
  using cache = new FileCache();
  const before = open();
  const first = put(cache, Buffer.from("content 0"));
  const second = put(cache, Buffer.from("content 1"));
  for (let i = 2; i < CACHE_FILES; i++) put(cache, Buffer.from(`content ${i}`));
  cache.fd(first);
  put(cache, Buffer.from("one more"));
  assert.ok(cache.has(first));
  assert.ok(!cache.has(second));
  assert.equal(open(), before + CACHE_FILES);
  assert.ok(CACHE_BYTES > 0);
});

test("disposal closes all", () => {
  const before = open();
  {
    using cache = new FileCache();
    put(cache, Buffer.from("x"));
    using _unfinished = cache.create(sha(Buffer.from("y")), 1);
  }
  assert.equal(open(), before);
});

test("a mapping of a cached file tells its content", () => {
  const hash = "ab".repeat(32);
  assert.equal(hashOfMapping(`/memfd:tesela-${hash} (deleted)`), hash);
  assert.equal(hashOfMapping(`/tmp/memfd:tesela-${hash} (deleted)`), null);
  assert.equal(hashOfMapping(`/memfd:tesela-${hash}`), null);
  assert.equal(hashOfMapping(""), null);
});

test("senders that announce more than this node has room for are refused", () => {
  using cache = new FileCache();
  const names = [1, 2, 3].map((n) => sha(Buffer.from([n])));
  {
    using first = cache.create(names[0] as string, COMING_BYTES);
    assert.ok(first);
    assert.throws(
      () => cache.create(names[1] as string, 1),
      (e) => e instanceof TeselaError && e.code === "E_NOMEM",
    );
  }
  const content = Buffer.from("some library");
  put(cache, content);
  using again = cache.create(names[2] as string, COMING_BYTES);
  assert.ok(again, "what has come, or will not, counts no more");
});
