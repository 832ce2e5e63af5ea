/** What tests start to move it is known by its PID and heard of at its end, however late it is looked at. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Tracees } from "../sys/mod.ts";
import { TestProgram } from "./test-nodes.ts";

const skip = process.getuid?.() === 0 ? false : "waiting for other users' processes needs root";

test("a program that has ended when it is first seen is one all the same", { skip, timeout: 60_000 }, async () => {
  using tracees = new Tracees();
  using gone = await TestProgram.start(tracees, "sh -c 'echo ready; echo $$; exit 3'");
  assert.equal(await gone.end(), `ready\n${gone.pid}\nstatus 3\n`);
  await assert.rejects(TestProgram.start(tracees, "false"), /false does not get ready/);
});
