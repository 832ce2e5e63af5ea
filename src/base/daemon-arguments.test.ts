import assert from "node:assert/strict";
import { test } from "node:test";
import { answerArguments } from "./daemon-arguments.ts";

test("a daemon starts without arguments, and otherwise says why it does not", () => {
  const asked = (...args: string[]) => answerArguments("teselad", "the daemon", "1.2.3", args);
  assert.equal(asked(), null);
  assert.deepEqual(asked("--version"), { fd: 1, text: "teselad 1.2.3\n", status: 0 });
  for (const help of ["--help", "-h"]) assert.match(asked(help)?.text ?? "", /^teselad - the daemon\n\nIt takes no arguments/);
  assert.deepEqual(asked("start"), { fd: 2, text: "teselad: unexpected 'start': it takes no arguments (teselad --help)\n", status: 2 });
});
