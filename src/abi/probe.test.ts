/** Holds the ABI as data against the C compiler and the headers of this machine. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { FAMILIES, IOCTL_GROUPS, IOCTL_SPECIAL, NR, STRUCTS } from "./mod.ts";

const noCompiler = spawnSync("gcc", ["--version"]).error ? "gcc is not installed" : false;

/** Lines `what name value` that the compiled probe prints. */
const found = new Map<string, bigint>();
let folder = "";

/** One translation unit a set of headers: the C library's and the kernel's do not go together in one. */
class Unit {
  private readonly headers: readonly string[];
  private readonly lines: string[] = [];

  constructor(headers: readonly string[]) {
    this.headers = headers;
  }

  /** A name that is printed only where the headers know it: later kernels add names. */
  constant(name: string, always: boolean): void {
    const line = `printf("c ${name} %lld\\n", (long long)(${name}));`;
    this.lines.push(always ? line : `#ifdef ${name}\n${line}\n#endif`);
  }

  value(key: string, expression: string): void {
    this.lines.push(`printf("${key} %lld\\n", (long long)(${expression}));`);
  }

  source(index: number): string {
    const includes = this.headers.map((h) => `#include <${h}>`).join("\n");
    return `#define _GNU_SOURCE\n#include <stddef.h>\n${includes}\nint printf(const char *, ...);\nvoid unit${index}(void) {\n${this.lines.join("\n")}\n}\n`;
  }
}

function units(): Unit[] {
  const all: Unit[] = [];
  const fresh = (headers: readonly string[]): Unit => {
    const unit = new Unit(headers);
    all.push(unit);
    return unit;
  };
  for (const f of FAMILIES) {
    const unit = fresh(f.headers);
    for (const key of Object.keys(f.values)) unit.constant(f.prefix + key, f.enums?.includes(f.prefix + key) ?? false);
  }
  for (const s of STRUCTS) {
    const unit = fresh(s.headers);
    unit.value(`s ${s.name}`, `sizeof(${s.name})`);
    for (const field of Object.keys(s.at)) {
      const name = s.cname[field] ?? field;
      if (name !== "") unit.value(`f ${s.name}.${field}`, `offsetof(${s.name}, ${name})`);
    }
  }
  for (const g of IOCTL_GROUPS) {
    const unit = fresh(g.headers);
    for (const row of g.rows) unit.constant(row.name, false);
  }
  const special = fresh(["linux/ioctl.h", "linux/sockios.h", "linux/fs.h", "linux/fiemap.h"]);
  for (const name of Object.keys(IOCTL_SPECIAL)) special.constant(name, false);
  const numbers = fresh(["asm/unistd_64.h"]);
  for (const name of Object.keys(NR)) numbers.constant(`__NR_${name}`, false);
  return all;
}

before(() => {
  if (noCompiler) return;
  folder = mkdtempSync(join(tmpdir(), "tesela-abi-"));
  const all = units();
  const files = all.map((unit, i) => {
    const file = join(folder, `unit${i}.c`);
    writeFileSync(file, unit.source(i));
    return file;
  });
  const main = join(folder, "main.c");
  writeFileSync(
    main,
    `${all.map((_, i) => `void unit${i}(void);`).join("\n")}\nint main(void) {\n${all.map((_, i) => `unit${i}();`).join("\n")}\nreturn 0;\n}\n`,
  );
  const program = join(folder, "probe");
  execFileSync("gcc", ["-w", "-O0", "-o", program, main, ...files], { stdio: ["ignore", "inherit", "inherit"] });
  for (const line of execFileSync(program, { encoding: "utf8" }).trim().split("\n")) {
    const at = line.lastIndexOf(" ");
    found.set(line.slice(0, at), BigInt(line.slice(at + 1)));
  }
});

after(() => {
  if (folder !== "") rmSync(folder, { recursive: true, force: true });
});

/** Compares as 32-bit patterns where the compiler sees a negative int (MSG_CMSG_CLOEXEC, SS_AUTODISARM). */
const same = (ours: number, theirs: bigint): boolean => BigInt(ours) === theirs || BigInt(ours) === BigInt.asUintN(32, theirs);

describe("the ABI as data", { skip: noCompiler }, () => {
  for (const f of FAMILIES) {
    test(`constants of ${f.name}`, () => {
      let checked = 0;
      for (const [key, value] of Object.entries(f.values)) {
        const name = f.prefix + key;
        const theirs = found.get(`c ${name}`);
        if (theirs === undefined) continue;
        checked++;
        assert.ok(same(value, theirs), `${name}: ${value} here, ${theirs} in C`);
      }
      assert.ok(checked > 0, "nothing of it is known to the headers");
    });
  }

  for (const s of STRUCTS) {
    test(`layout of ${s.name}`, () => {
      const size = Number(found.get(`s ${s.name}`));
      assert.ok(s.grows ? size >= s.size : size === s.size, `${s.size} bytes here, ${size} in C`);
      for (const field of Object.keys(s.at)) {
        if (s.cname[field] === "") continue;
        assert.equal(s.at[field], Number(found.get(`f ${s.name}.${field}`)), `offset of ${field}`);
      }
    });
  }

  test("ioctl requests", () => {
    const rows = IOCTL_GROUPS.flatMap((g) => g.rows);
    for (const { name, request } of rows) {
      const theirs = found.get(`c ${name}`);
      if (theirs !== undefined) assert.ok(same(request, theirs), name);
    }
    for (const [name, request] of Object.entries(IOCTL_SPECIAL)) assert.ok(same(request, found.get(`c ${name}`) ?? -1n), name);
    assert.equal(new Set(rows.map((r) => r.request)).size, new Set(rows.map((r) => r.request)).size);
  });

  test("system call numbers, and that none of the headers' is missing", () => {
    for (const [name, nr] of Object.entries(NR)) {
      const theirs = found.get(`c __NR_${name}`);
      if (theirs !== undefined) assert.equal(BigInt(nr), theirs, name);
    }
    const header = "/usr/include/x86_64-linux-gnu/asm/unistd_64.h";
    let text = "";
    try {
      text = readFileSync(header, "utf8");
    } catch {
      return; // Another layout of headers; the numbers above were checked through the compiler.
    }
    for (const [, name] of text.matchAll(/#define __NR_(\w+)/g)) assert.ok(name !== undefined && name in NR, `${name} is missing`);
  });

  test("most constants are known to the headers of this machine", () => {
    const names = FAMILIES.flatMap((f) => Object.keys(f.values).map((k) => f.prefix + k));
    const known = names.filter((n) => found.has(`c ${n}`)).length;
    assert.ok(known > names.length * 0.8, `${known} of ${names.length}`);
  });
});
