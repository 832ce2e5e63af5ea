/** Mapped files on their way: the same one is not sent twice at a time. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { FileCache } from "./file-cache.ts";
import { IncomingFiles } from "./incoming-files.ts";

const LONG_MS = 60_000;
const content = Buffer.from("some library");
const hash = createHash("sha256").update(content).digest("hex");
const other = createHash("sha256").update("another").digest("hex");
const named = (...hashes: string[]): { hash: string }[] => hashes.map((h) => ({ hash: h }));
const piece = { type: "file", head: { hash, size: content.length, last: true }, payload: content } as const;

/** What a promise is now. */
async function now<T>(promise: Promise<T>): Promise<T | "waits"> {
  for (let i = 0; i < 5; i++) await setImmediate();
  return await Promise.race([promise, setImmediate("waits" as const)]);
}

test("what comes already is waited for, and not wanted again", async () => {
  using cache = new FileCache();
  using first = new IncomingFiles(cache);
  using second = new IncomingFiles(cache);
  assert.deepEqual(await first.want(named(hash), LONG_MS), [hash]);
  const wanted = second.want(named(hash, other), LONG_MS);
  assert.equal(await now(wanted), "waits");
  first.take(piece);
  assert.deepEqual(await wanted, [other]);
  using third = new IncomingFiles(cache);
  assert.deepEqual(await third.want(named(hash), LONG_MS), []);
});

test("what does not come after all is wanted by the next one, and waited for by the others", async () => {
  using cache = new FileCache();
  const first = new IncomingFiles(cache);
  using second = new IncomingFiles(cache);
  using third = new IncomingFiles(cache);
  assert.deepEqual(await first.want(named(hash), LONG_MS), [hash]);
  const wanted = [second.want(named(hash), LONG_MS), third.want(named(hash), LONG_MS)];
  first[Symbol.dispose]();
  assert.deepEqual(await Promise.all(wanted), [[hash], [hash]], "they know nothing of each other yet");
  second.take(piece);
  third.take(piece);
  assert.ok(cache.has(hash));
});

test("nobody waits for a sender that is stuck for longer than he was told to, nor for what was given up", async () => {
  using cache = new FileCache();
  using stuck = new IncomingFiles(cache);
  using second = new IncomingFiles(cache);
  assert.deepEqual(await stuck.want(named(hash), LONG_MS), [hash]);
  assert.deepEqual(await second.want(named(hash), 1), [hash]);
  stuck.abandon(hash);
  using third = new IncomingFiles(cache);
  assert.deepEqual(await third.want(named(hash), LONG_MS), [hash]);
});
