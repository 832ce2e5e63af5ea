/** Content of files by hash, at once and in pieces. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { readAreas } from "./areas.ts";
import { FileHashes } from "./file-hashes.ts";
import { openMapped, seeFile } from "./mapped-files.ts";

test("files are hashed in pieces as they are at once, and others go on meanwhile", async () => {
  const dir = mkdtempSync(join(tmpdir(), "tesela-hashes-"));
  const fds: number[] = [];
  try {
    for (const size of [0, 1, 4096, 1 << 20, (1 << 20) + 1, 9_000_000]) {
      const bytes = randomBytes(size);
      const path = join(dir, `${size}`);
      writeFileSync(path, bytes);
      const fd = openSync(path, "r");
      fds.push(fd);
      const want = createHash("sha256").update(bytes).digest("hex");
      const hashes = new FileHashes();
      let turns = 0;
      let over = false;
      const others = (async () => {
        for (; !over; turns++) await setImmediate();
      })();
      // Twice at the same time: both get it.
      assert.deepEqual(await Promise.all([hashes.learnFd(fd), hashes.learnFd(fd)]), [want, want]);
      over = true;
      await others;
      assert.ok(turns >= Math.floor(size / (1 << 20)), `${turns} turns of others for ${size} bytes`);
      assert.equal(hashes.hashFd(fd), want);
      assert.equal(new FileHashes().hashFd(fd), want);
    }
  } finally {
    for (const fd of fds) closeSync(fd);
    rmSync(dir, { recursive: true });
  }
});

test("what a process has mapped is learnt ahead", async () => {
  const hashes = new FileHashes();
  await hashes.learn(process.pid);
  const fd = openSync(process.execPath, "r");
  try {
    let others = 0;
    const turn = setImmediate().then(() => others++);
    assert.match(await hashes.learnFd(fd), /^[0-9a-f]{64}$/);
    assert.equal(others, 0, "it is known");
    await turn;
  } finally {
    closeSync(fd);
  }
});

test("a mapped file is seen without opening it as it is when it is open", () => {
  const files = readAreas(process.pid).flatMap((a) => (a.kind === "file" ? [a] : []));
  assert.ok(files.some((a) => a.line.name === process.execPath));
  const hashes = new FileHashes();
  for (const { line, seen } of files) {
    const fd = openMapped(process.pid, line);
    try {
      assert.deepEqual(seen, seeFile(fd), line.name);
      assert.equal(hashes.hash(process.pid, { line, seen })?.hash, hashes.hashFd(fd));
    } finally {
      closeSync(fd);
    }
  }
});
