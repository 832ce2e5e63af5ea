import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { chmodSync, mkdtempSync, readdirSync, rmSync, statSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { type ErrorCode, nodeId, TeselaError } from "../base/mod.ts";
import { nodeOfCertificate } from "../io/mod.ts";
import { caFingerprint, createCluster, issueNode } from "./ca.ts";
import { checkIdentity, loadCa, loadIdentity, saveCa, saveIdentity } from "./files.ts";

const DAY_MS = 86_400_000;
const N2 = nodeId(2);
const ca = await createCluster("red");
const node = await issueNode(ca, N2, "h2");

const isError = (code: ErrorCode, pattern: RegExp) => (e: unknown) => {
  assert.ok(e instanceof TeselaError, String(e));
  assert.equal(e.code, code, e.message);
  assert.match(e.message, pattern);
  return true;
};

async function inDir(body: (dir: string) => unknown): Promise<void> {
  const base = mkdtempSync(`${tmpdir()}/tesela-identity-`);
  try {
    await body(`${base}/identity`);
  } finally {
    rmSync(base, { recursive: true });
  }
}

test("a node's certificate names its cluster and number, and is good for both ends of TLS only", () => {
  const cert = new X509Certificate(node.cert);
  assert.deepEqual(nodeOfCertificate(cert), { cluster: "red", node: 2 });
  assert.match(cert.subject, /CN=node-2/);
  assert.equal(cert.ca, false);
  assert.deepEqual(cert.keyUsage?.toSorted(), ["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"]);
  assert.equal(cert.publicKey.asymmetricKeyDetails?.namedCurve, "prime256v1");
  assert.ok(cert.verify(new X509Certificate(ca.cert).publicKey));
});

test("serial numbers and keys differ, and fingerprints name a CA", async () => {
  const again = await issueNode(ca, N2, "h2");
  assert.notEqual(again.key, node.key);
  assert.notEqual(new X509Certificate(again.cert).serialNumber, new X509Certificate(node.cert).serialNumber);
  assert.equal(caFingerprint(ca.cert).length, 32);
  assert.notDeepEqual(caFingerprint(ca.cert), caFingerprint((await createCluster("red")).cert));
});

test("openssl accepts the chain", async (t) => {
  try {
    execFileSync("openssl", ["version"]);
  } catch {
    t.skip("openssl is not installed");
    return;
  }
  await inDir((dir) => {
    saveIdentity(dir, node);
    for (const purpose of ["sslserver", "sslclient"]) {
      const said = execFileSync("openssl", ["verify", "-x509_strict", "-purpose", purpose, "-CAfile", `${dir}/ca.pem`, `${dir}/node.pem`]);
      assert.match(said.toString(), /OK/);
    }
  });
});

test("cluster names are what fits in a host name", async () => {
  for (const name of ["", "Red", "a_b", "-a", "a-", "a".repeat(33), "a/b"]) {
    await assert.rejects(createCluster(name), isError("E_USAGE", /cluster name/));
  }
});

test("an identity comes back from its files, which only its owner may read", async () => {
  await inDir((dir) => {
    saveIdentity(dir, node);
    saveCa(dir, ca);
    const mode = (name: string) => statSync(`${dir}/${name}`).mode & 0o777;
    assert.equal(statSync(dir).mode & 0o777, 0o700);
    assert.deepEqual([mode("node.key"), mode("ca.key"), mode("node.pem"), mode("ca.pem")], [0o600, 0o600, 0o644, 0o644]);
    assert.deepEqual(readdirSync(dir).sort(), ["ca.key", "ca.pem", "node.key", "node.pem"]);
    assert.deepEqual(loadIdentity(dir, "h2"), node);
    assert.equal(loadIdentity(dir).name, "n2");
    assert.deepEqual(loadCa(dir), ca);
    // Again over the old ones, as a renewal does.
    saveIdentity(dir, node);
  });
});

test("what is wrong with an identity is said clearly", async () => {
  const blue = await createCluster("blue");
  const other = await issueNode(blue, N2, "h2");
  const stale = await issueNode(ca, N2, "h2", { notBefore: Date.now() - 2 * DAY_MS, notAfter: Date.now() - DAY_MS });
  const early = await issueNode(ca, N2, "h2", { notBefore: Date.now() + DAY_MS });
  const cases: [typeof node, ErrorCode, RegExp][] = [
    [{ ...node, ca: blue.cert }, "E_IDENTITY", /not from this CA/],
    [{ ...node, key: other.key }, "E_IDENTITY", /key is not the one of its certificate/],
    [{ ...node, cert: ca.cert, key: ca.key }, "E_IDENTITY", /names no node/],
    [{ ...node, ca: node.cert }, "E_IDENTITY", /not one of a CA/],
    [{ ...node, cert: "junk" }, "E_IDENTITY", /not a certificate in PEM form/],
    [{ ...node, key: "junk" }, "E_IDENTITY", /not a private key in PEM form/],
    [stale, "E_IDENTITY", /expired on/],
    [early, "E_IDENTITY", /valid only from/],
  ];
  for (const [identity, code, pattern] of cases) {
    await inDir((dir) => {
      saveIdentity(dir, identity);
      assert.throws(() => loadIdentity(dir), isError(code, pattern));
    });
  }
  await inDir((dir) => {
    assert.throws(() => loadIdentity(dir), isError("E_CONFIG", /tesela init/));
    saveIdentity(dir, node);
    assert.throws(() => loadCa(dir), isError("E_CONFIG", /ca\.key/));
    chmodSync(`${dir}/node.key`, 0o640);
    assert.throws(() => loadIdentity(dir), isError("E_CONFIG", /may be read by others \(mode 640\)/));
    unlinkSync(`${dir}/node.key`);
    assert.throws(() => loadIdentity(dir), isError("E_CONFIG", /node\.key/));
    saveCa(dir, { ...ca, key: blue.key });
    assert.throws(() => loadCa(dir), isError("E_IDENTITY", /is not the key of/));
    writeFileSync(`${dir}/ca.key`, "junk");
    assert.throws(() => loadCa(dir), isError("E_IDENTITY", /not a private key/));
  });
  assert.throws(() => checkIdentity(node, "later", Date.now() + 6 * 365 * DAY_MS), isError("E_IDENTITY", /the node's certificate expired/));
});
