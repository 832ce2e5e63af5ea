import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { CACHE_FILES, FileCache } from "./file-cache.ts";

const hashOf = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** Puts a content into the cache in pieces, under a name that may be wrong. */
function put(cache: FileCache, bytes: Buffer, hash = hashOf(bytes), size = bytes.length): void {
  using file = cache.create(hash, size);
  for (let at = 0; at < bytes.length; at += 1000) file.write(bytes.subarray(at, at + 1000));
  file.commit();
}

test("a content is found by its hash, and is what was sent", () => {
  using cache = new FileCache();
  const bytes = Buffer.from("some library ".repeat(500));
  put(cache, bytes);
  assert.deepEqual(readFileSync(`/proc/self/fd/${cache.fd(hashOf(bytes))}`), bytes);
  put(cache, bytes);
  assert.deepEqual(readFileSync(`/proc/self/fd/${cache.fd(hashOf(bytes))}`), bytes);
});

test("what is not what its name says is refused: changed, cut short, too long, never ended", () => {
  using cache = new FileCache();
  const bytes = Buffer.from("some library ".repeat(500));
  const other = hashOf(Buffer.from("another"));
  const refused = { code: "E_PROTOCOL" };
  assert.throws(() => put(cache, bytes, other), refused);
  assert.throws(() => put(cache, bytes.subarray(1), hashOf(bytes), bytes.length), refused);
  assert.throws(() => put(cache, bytes, hashOf(bytes), bytes.length - 1), refused);
  {
    using file = cache.create(hashOf(bytes), bytes.length);
    file.write(bytes);
  }
  for (const hash of [other, hashOf(bytes)]) {
    assert.equal(cache.has(hash), false);
    assert.throws(() => cache.fd(hash), refused);
  }
});

test("the least lately used goes first when there are too many", () => {
  using cache = new FileCache();
  const contents = Array.from({ length: CACHE_FILES + 1 }, (_, i) => Buffer.from(`content ${i}`));
  for (const [i, bytes] of contents.entries()) {
    if (i === CACHE_FILES) cache.fd(hashOf(contents[0] as Buffer));
    put(cache, bytes);
  }
  assert.deepEqual(contents.map((bytes) => cache.has(hashOf(bytes))).indexOf(false), 1);
});
