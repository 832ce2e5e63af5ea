import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "node:test";
import fc from "fast-check";
import { nodeId, TeselaError } from "../base/mod.ts";
import { SeededRandom, systemRandom } from "../io/mod.ts";
import { decodeToken, encodeToken, newToken, proofOf, proves, type Token } from "./token.ts";
import { type OpenToken, TokenStore } from "./token-store.ts";

const about = {
  cluster: "red",
  fingerprint: systemRandom.bytes(32),
  node: nodeId(1),
  address: "10.88.0.1",
  port: 4660,
  expires: 1_900_000_000,
};
const token = newToken(systemRandom, about);
const unreadable = (e: unknown): boolean => e instanceof TeselaError && e.code === "E_USAGE" && /not a token/.test(e.message);

test("a token is one word that holds what joining needs, and no key of a node", () => {
  const text = encodeToken(token);
  assert.match(text, /^tesela2\.[\w-]{100,220}$/);
  assert.deepEqual(decodeToken(`  ${text}\n`), token);
  const ids = new Set(Array.from({ length: 100 }, () => newToken(systemRandom, about).secret.toString("hex")));
  assert.equal(ids.size, 100);
});

test("any token comes back as it was", () => {
  const arbitrary = fc.record({
    id: fc.uint8Array({ minLength: 8, maxLength: 8 }).map((b) => Buffer.from(b)),
    secret: fc.uint8Array({ minLength: 32, maxLength: 32 }).map((b) => Buffer.from(b)),
    fingerprint: fc.uint8Array({ minLength: 32, maxLength: 32 }).map((b) => Buffer.from(b)),
    cluster: fc.stringMatching(/^[a-z0-9]{1,32}$/),
    node: fc.integer({ min: 1, max: 65535 }).map(nodeId),
    address: fc.stringMatching(/^[a-z0-9.:-]{1,255}$/),
    port: fc.integer({ min: 1, max: 65535 }),
    expires: fc.maxSafeNat(),
  });
  fc.assert(fc.property(arbitrary, (t: Token) => assert.deepEqual(decodeToken(encodeToken(t)), { ...t })));
});

test("damaged tokens, and what never was one, are refused as that and nothing else", () => {
  const text = encodeToken(token);
  const bad = [
    "",
    "hello",
    "tesela2.",
    "tesela2.####",
    "tesela1.abc",
    text.slice(0, -1),
    text.slice(0, 60),
    text.slice(20),
    `${text}A`,
    "A".repeat(100_000),
  ];
  for (const wrong of bad) assert.throws(() => decodeToken(wrong), unreadable, wrong.slice(0, 40));
  fc.assert(
    fc.property(fc.nat(text.length - 1), fc.constantFrom(..."ABCxyz019-_ .\0é"), (at, c) => {
      const damaged = text.slice(0, at) + c + text.slice(at + 1);
      if (damaged.trim() === text) return;
      try {
        // The last letter has bits that mean nothing.
        assert.deepEqual(decodeToken(damaged), token);
        assert.equal(at, text.length - 1);
      } catch (e) {
        assert.ok(unreadable(e), String(e));
      }
    }),
  );
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (junk) => {
      for (const wrong of [junk, `tesela2.${junk}`, `tesela2.${Buffer.from(junk).toString("base64url")}`])
        assert.throws(() => decodeToken(wrong), unreadable);
    }),
  );
});

test("a proof is good for its secret, its connection and its request only", () => {
  const random = new SeededRandom(7);
  const [secret, binding, request] = [random.bytes(32), random.bytes(32), random.bytes(400)];
  const proof = proofOf(secret, binding, request);
  assert.ok(proves(proof, secret, binding, request));
  const flip = (b: Buffer): Buffer => Buffer.from(b.map((x, i) => (i === 5 ? x ^ 1 : x)));
  assert.ok(!proves(flip(proof), secret, binding, request));
  assert.ok(!proves(proof, flip(secret), binding, request));
  assert.ok(!proves(proof, secret, flip(binding), request));
  assert.ok(!proves(proof, secret, binding, flip(request)));
  for (const wrong of [Buffer.alloc(0), proof.subarray(1), Buffer.concat([proof, proof])])
    assert.ok(!proves(wrong, secret, binding, request));
});

test("a store opens tokens until their time is over, each for one use", () => {
  const dir = mkdtempSync(`${tmpdir()}/tesela-tokens-`);
  try {
    let now = 1_000_000_000_000;
    const store = new TokenStore(dir, () => now);
    const other = new TokenStore(dir, () => now);
    const open = (id: string, ttl: number): OpenToken => ({ id, secret: systemRandom.bytes(32), expires: now / 1000 + ttl });
    const [a, b] = [open("00000000000000aa", 60), open("00000000000000bb", 600)];
    assert.equal(store.any(), false);
    now += 200;
    store.add(a);
    store.add({ ...b, node: 7, name: "h7" });
    assert.deepEqual([statSync(`${dir}/tokens`).mode & 0o777, statSync(`${dir}/tokens/${a.id}.open`).mode & 0o777], [0o700, 0o600]);
    assert.equal(store.any(), true);
    assert.deepEqual(store.find(a.id), { state: "open", token: a });
    assert.deepEqual(store.find(b.id).token, { ...b, node: 7, name: "h7" });
    for (const id of ["", "..", "../tokens/00000000000000aa", "00000000000000AA", "ffffffffffffffff"])
      assert.equal(store.find(id).state, "unknown");
    now += 60_000;
    assert.equal(store.find(a.id).state, "expired");
    assert.deepEqual([store.use(b.id), other.use(b.id), store.use("ffffffffffffffff")], [true, false, false]);
    assert.equal(other.find(b.id).state, "used");
    assert.equal(store.any(), false);
    // A torn or foreign file opens nothing.
    writeFileSync(`${dir}/tokens/00000000000000cc.open`, '{"id":');
    now += 1000;
    assert.deepEqual([store.any(), store.find("00000000000000cc").state], [false, "unknown"]);
    // Old ones go when a new one is made.
    now = Date.now() + 3 * 86_400_000;
    store.add(open("00000000000000dd", 60));
    assert.deepEqual(readdirSync(`${dir}/tokens`), ["00000000000000dd.open"]);
    assert.ok(existsSync(dir));
  } finally {
    rmSync(dir, { recursive: true });
  }
});
