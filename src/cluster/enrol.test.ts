import assert from "node:assert/strict";
import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { nodeId, TeselaError } from "../base/mod.ts";
import { certificateKeyHash, certify, createCluster, issueNode } from "./ca.ts";
import type { Peer } from "./config.ts";
import { admit, type JoinRequest, readRequest, readWelcome } from "./enrol.ts";
import { makeGossipKey } from "./gossip-key.ts";
import { MemberRecord, signEntry, type Standing } from "./record.ts";
import { makeRequest, newKey, requestedKey } from "./request.ts";

const ca = await createCluster("red");
const key = await newKey();
const csr = await makeRequest(key);
const wish: JoinRequest = { csr: csr.toString("base64url"), host: "box.example", address: "10.0.0.9", port: 4660 };
const bytes = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const isError =
  (...codes: string[]) =>
  (e: unknown) =>
    e instanceof TeselaError && codes.includes(e.code);

test("a certificate request proves its key, whatever bytes come", async () => {
  const cert = await certify(ca, nodeId(9), await requestedKey(csr));
  const { publicKey } = new (await import("node:crypto")).X509Certificate(cert);
  assert.ok(publicKey.equals(createPublicKey(key)));
  for (let at = 0; at < csr.length; at++) {
    const damaged = Buffer.from(csr);
    damaged[at] = (damaged[at] as number) ^ 0x11;
    await assert.rejects(requestedKey(damaged), isError("E_PROTOCOL"), `byte ${at}`);
  }
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 3000 }), async (junk) => {
      await assert.rejects(requestedKey(junk), isError("E_PROTOCOL"));
    }),
  );
  const p384 = generateKeyPairSync("ec", { namedCurve: "secp384r1" }).privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  await assert.rejects(async () => requestedKey(await makeRequest(p384)));
});

test("who the machine will be: its wish, the token's word, what is free", () => {
  const members = new MemberRecord("red", ca.cert);
  const say = (id: number, name: string, standing: Standing): void =>
    void members.merge([signEntry(ca, { id, name, standing, epoch: 1, address: "10.0.0.1", port: 4660, key: "A".repeat(43) })]);
  say(1, "h1", "member");
  say(2, "h2", "left");
  say(3, "h3", "removed");
  const peers: Peer[] = [{ id: 5, name: "static", address: "10.0.0.5", port: 4660 }];
  const token = { id: "00", secret: Buffer.alloc(32), expires: 1 };
  const who = (w: Partial<JoinRequest>, t: Partial<typeof token & { node: number; name: string }> = {}): [number, string] => {
    const { id, name } = admit({ ...wish, ...w }, { ...token, ...t }, members, peers);
    return [id, name];
  };
  assert.deepEqual(who({}), [4, "box"]);
  assert.deepEqual(who({ id: 9 }), [9, "box"]);
  assert.deepEqual(who({}, { node: 9, name: "nine" }), [9, "nine"]);
  assert.deepEqual(who({ id: 2 }), [2, "h2"], "one that has left comes back as itself");
  assert.deepEqual(who({ id: 3, name: "new3" }), [3, "new3"]);
  assert.deepEqual(who({ host: "h1" }), [4, "n4"]);
  assert.deepEqual(who({ host: "h2" }), [4, "n4"], "a name is kept as long as its number");
  assert.deepEqual(who({ host: "-bad name" }), [4, "n4"]);
  for (const id of [1, 5]) assert.throws(() => who({ id }), isError("E_EXISTS"));
  for (const name of ["h1", "h3", "static"]) assert.throws(() => who({ name }), isError("E_EXISTS"));
  assert.throws(() => who({ id: 8 }, { node: 9 }), isError("E_REFUSED"));
  assert.throws(() => who({ name: "a" }, { name: "b" }), isError("E_REFUSED"));
});

test("a wish and an answer are what they should be, or refused", async () => {
  assert.deepEqual(readRequest(bytes(wish)), wish);
  const identity = await certify(ca, nodeId(9), await requestedKey(csr));
  const node = { id: 9, name: "box", address: "10.0.0.9", port: 4660 };
  const entry = signEntry(ca, { ...node, epoch: 1, standing: "member", key: certificateKeyHash(identity) });
  const good = { node, cluster: "red", cert: identity, gossip: makeGossipKey(), peers: [node], record: [entry] };
  assert.deepEqual(readWelcome(bytes(good), ca.cert, key), good);
  const refused = isError("E_PROTOCOL", "E_IDENTITY");
  const twisted = <T extends object>(whole: T) =>
    fc.oneof(
      fc.anything(),
      fc.tuple(fc.constantFrom(...Object.keys(whole)), fc.jsonValue()).map(([field, value]) => ({ ...whole, [field]: value })),
    );
  fc.assert(
    fc.property(twisted(wish), (value) => {
      const text = Buffer.from(JSON.stringify(value) ?? "");
      try {
        readRequest(text);
      } catch (e) {
        assert.ok(refused(e), String(e));
      }
    }),
  );
  fc.assert(
    fc.property(twisted(good), (value) => {
      const text = Buffer.from(JSON.stringify(value) ?? "");
      try {
        assert.deepEqual(readWelcome(text, ca.cert, key).node, node);
      } catch (e) {
        assert.ok(refused(e), String(e));
      }
    }),
  );
  fc.assert(fc.property(fc.uint8Array(), (junk) => assert.throws(() => readRequest(Buffer.from(junk)), refused)));
  const other = await createCluster("red");
  assert.throws(() => readWelcome(bytes(good), other.cert, key), refused);
  const stranger = (await issueNode(ca, nodeId(9), "box")).cert;
  assert.throws(() => readWelcome(bytes({ ...good, cert: stranger }), ca.cert, key), refused, "a certificate for another key");
});
