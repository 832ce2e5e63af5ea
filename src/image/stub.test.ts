import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { STUB_SIZE, STUB_SOURCE, stubCode } from "./stub.ts";

test("the machine code is what its listing assembles to", () => {
  const dir = mkdtempSync(join(tmpdir(), "tesela-stub-"));
  try {
    writeFileSync(join(dir, "stub.s"), `.intel_syntax noprefix\nstart:\n${STUB_SOURCE}`);
    execFileSync("as", ["stub.s", "-o", "stub.o"], { cwd: dir });
    execFileSync("objcopy", ["-O", "binary", "stub.o", "stub.bin"], { cwd: dir });
    const want = readFileSync(join(dir, "stub.bin"));
    const have = stubCode();
    assert.equal(want.length, STUB_SIZE);
    // Between the pieces the assembler leaves zeros and we leave int3: compare where the listing has code.
    for (const [at, byte] of want.entries()) if (byte !== 0) assert.equal(have[at], byte, `offset 0x${at.toString(16)}`);
    for (const [at, byte] of have.entries()) if (byte !== 0xcc) assert.equal(want[at], byte, `offset 0x${at.toString(16)}`);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
