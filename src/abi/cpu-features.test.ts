import assert from "node:assert/strict";
import { test } from "node:test";
import { GLIBC_FEATURES, glibcBits, maskTunables, programFeatures, tunablesOf } from "./cpu-features.ts";

test("features that mean nothing to programs are left out, unknown ones are not", () => {
  assert.deepEqual([...programFeatures("fpu vme avx2 hypervisor  brand_new\n")], ["fpu", "avx2", "brand_new"]);
});

test("features as bits, and back as tunables", () => {
  assert.ok(GLIBC_FEATURES.length <= 32);
  const bits = glibcBits(new Set(["avx2", "avx512pf", "pni", "sha_ni"]));
  assert.deepEqual(tunablesOf(bits), ["SSE3", "AVX2", "AVX512PF"]);
  assert.deepEqual(tunablesOf(glibcBits(new Set(GLIBC_FEATURES.map(([f]) => f)))).length, GLIBC_FEATURES.length);
});

test("tunables keep what the user has set", () => {
  assert.equal(maskTunables("", []), "");
  assert.equal(maskTunables("glibc.malloc.check=1", []), "glibc.malloc.check=1");
  assert.equal(maskTunables("", ["AVX2", "ERMS"]), "glibc.cpu.hwcaps=-AVX2,-ERMS");
  assert.equal(maskTunables("glibc.malloc.check=1", ["AVX2"]), "glibc.malloc.check=1:glibc.cpu.hwcaps=-AVX2");
  const own = "glibc.cpu.hwcaps=Prefer_ERMS,-AVX2,AVX512F:glibc.malloc.perturb=3";
  assert.equal(maskTunables(own, ["AVX2", "AVX512F"]), "glibc.cpu.hwcaps=Prefer_ERMS,-AVX2,-AVX512F:glibc.malloc.perturb=3");
});
