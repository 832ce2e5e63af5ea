import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { TeselaError } from "../base/mod.ts";
import { loadGossipKeys, makeGossipKey, parseGossipKeys, saveGossipKey } from "./gossip-key.ts";
import { ReplayWindow, WINDOW } from "./replay-window.ts";
import { HEADER, type Header, Keyring, KIND, readHeader, seal, TAG, unseal } from "./seal.ts";

const header: Header = { kind: KIND.DATA, keyId: 7, from: 1, to: 65535, life: 2n ** 63n + 5n, token: 9n, count: 2 ** 40 + 3 };

test("a sealed datagram opens with its key only, and not when a bit of it changed", () => {
  const key = Buffer.alloc(32, 1);
  const bytes = seal(key, header, Buffer.from("body"));
  assert.equal(bytes.length, HEADER + 4 + TAG);
  assert.deepEqual(readHeader(bytes), header);
  assert.equal(String(unseal(key, header, bytes)), "body");
  assert.equal(unseal(Buffer.alloc(32, 2), header, bytes), null);
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const changed = Buffer.from(bytes);
    changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    const h = readHeader(changed);
    if (h !== null) assert.equal(unseal(key, h, changed), null, `bit ${bit}`);
  }
  for (let n = 0; n < bytes.length; n++) {
    const cut = bytes.subarray(0, n);
    const h = readHeader(cut);
    if (h !== null) assert.equal(unseal(key, h, cut), null, `${n} bytes`);
  }
  assert.ok(!bytes.includes("body"));
});

test("noise is no header, or does not open", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (noise) => {
      const bytes = Buffer.from(noise);
      const h = readHeader(bytes);
      assert.ok(h === null || unseal(Buffer.alloc(32), h, bytes) === null);
    }),
  );
});

test("each number is taken once, and none from before the window", () => {
  fc.assert(
    fc.property(fc.array(fc.nat({ max: 600 }), { maxLength: 400 }), (numbers) => {
      const window = new ReplayWindow();
      const seen = new Set<number>();
      let newest = -1;
      for (const n of numbers) {
        assert.equal(window.fresh(n), n > newest - WINDOW && !seen.has(n), `${n} after ${newest}`);
        if (!window.fresh(n)) continue;
        window.mark(n);
        seen.add(n);
        newest = Math.max(newest, n);
      }
    }),
  );
  const window = new ReplayWindow();
  window.startAfter(5);
  assert.deepEqual(
    [0, 5, 6].map((n) => window.fresh(n)),
    [false, false, true],
  );
});

test("a ring derives another key for each node, life and secret, and opens with both secrets", () => {
  const [a, b] = [makeGossipKey(), makeGossipKey()];
  const [one, two, both] = [a, b, b + a].map((text) => parseGossipKeys(text, "test"));
  assert.ok(one && two && both);
  assert.equal(both.primary, two.primary);
  assert.ok(both.has(one.primary) && !one.has(two.primary));
  assert.deepEqual(both.of(one.primary, 3, 4n), one.of(one.primary, 3, 4n));
  const keys = [one.of(one.primary, 3, 4n), one.of(one.primary, 3, 5n), one.of(one.primary, 4, 4n), two.of(two.primary, 3, 4n)];
  assert.equal(new Set(keys.map(String)).size, 4);
  assert.equal(one.of(two.primary, 3, 4n), null);
});

test("the key's file is the owner's only, and is read as it was written", () => {
  const dir = mkdtempSync(join(tmpdir(), "tesela-"));
  try {
    const text = makeGossipKey();
    const config = (e: unknown): boolean => e instanceof TeselaError && e.code === "E_CONFIG";
    assert.throws(() => loadGossipKeys(dir), config);
    saveGossipKey(dir, text);
    assert.equal(statSync(join(dir, "gossip.key")).mode & 0o777, 0o600);
    assert.equal(new Keyring(loadGossipKeys(dir).secrets).primary, parseGossipKeys(text, "test").primary);
    for (const bad of ["", "abc\n", text.slice(1), text + text + text]) {
      assert.throws(() => saveGossipKey(dir, bad), config);
      writeFileSync(join(dir, "gossip.key"), bad);
      assert.throws(() => loadGossipKeys(dir), config);
    }
    writeFileSync(join(dir, "gossip.key"), text, { mode: 0o600 });
    rmSync(join(dir, "gossip.key"));
    writeFileSync(join(dir, "gossip.key"), text, { mode: 0o644 });
    assert.throws(() => loadGossipKeys(dir), config);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
