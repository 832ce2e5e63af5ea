import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  DEFAULT_ACTIONS,
  errnoName,
  isRestart,
  NR,
  SIG,
  signalBit,
  signalName,
  SYSCALL_END,
  SYSCALLS,
  syscallByName,
  syscallName,
  syscallRow,
} from "./mod.ts";

describe("the system call table", () => {
  test("has each number and each name once, in order", () => {
    const numbers = SYSCALLS.map((r) => r.nr);
    assert.deepEqual(
      numbers,
      [...new Set(numbers)].sort((a, b) => a - b),
    );
    assert.equal(new Set(SYSCALLS.map((r) => r.name)).size, SYSCALLS.length);
    assert.equal(numbers.at(-1), SYSCALL_END - 1);
  });

  test("has no gaps but the numbers that Linux kept free", () => {
    const have = new Set(SYSCALLS.map((r) => r.nr));
    for (let nr = 0; nr < SYSCALL_END; nr++) assert.equal(have.has(nr), nr < 337 || nr > 423, String(nr));
  });

  test("agrees with the list of numbers", () => {
    assert.deepEqual(Object.fromEntries(SYSCALLS.map((r) => [r.name, r.nr])), NR);
  });

  test("gives calls by number and name", () => {
    assert.equal(syscallRow(NR.openat)?.name, "openat");
    assert.equal(syscallByName("openat")?.nr, NR.openat);
    assert.equal(syscallName(0), "read");
    assert.equal(syscallName(400), "syscall 400");
  });

  test("says why a call brings the process home", () => {
    for (const row of SYSCALLS) if (row.route === "back" || row.status === "part") assert.ok(row.note, row.name);
  });

  test("lets pass natively only what is local or looked at by a handler", () => {
    for (const row of SYSCALLS) if (row.native !== undefined) assert.ok(["local", "special"].includes(row.route), row.name);
    for (const row of SYSCALLS) if (row.route === "local") assert.equal(row.native, "always", row.name);
  });

  test("has sizes that point at arguments before or behind, never at themselves", () => {
    for (const row of SYSCALLS) {
      row.args.forEach((a, i) => {
        if ("size" in a && typeof a.size !== "number") {
          assert.notEqual(a.size.arg, i, row.name);
          const by = row.args[a.size.arg]?.kind;
          assert.equal(by, "int", `${row.name}: argument ${a.size.arg}`);
        }
      });
    }
  });
});

describe("names", () => {
  test("of errors", () => {
    assert.equal(errnoName(11), "EAGAIN");
    assert.equal(errnoName(95), "EOPNOTSUPP");
    assert.equal(errnoName(512), "ERESTARTSYS");
    assert.equal(errnoName(999), "errno 999");
    assert.ok(isRestart(-516n) && !isRestart(-515n) && !isRestart(-4n));
  });

  test("of signals, and what they do", () => {
    assert.equal(signalName(2), "SIGINT");
    assert.equal(signalName(34), "SIGRTMIN+2");
    assert.equal(signalName(99), "signal 99");
    assert.equal(signalBit(SIG.TERM), 1n << 14n);
    assert.equal(DEFAULT_ACTIONS[SIG.SEGV], "core");
    assert.equal(DEFAULT_ACTIONS[SIG.CHLD], "ignore");
    assert.equal(DEFAULT_ACTIONS[SIG.TSTP], "stop");
    assert.equal(DEFAULT_ACTIONS[SIG.CONT], "cont");
    assert.equal(DEFAULT_ACTIONS[64], "term");
  });
});
