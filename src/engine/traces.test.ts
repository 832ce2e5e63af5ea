import assert from "node:assert/strict";
import { test } from "node:test";
import { NR } from "../abi/mod.ts";
import { TeselaError } from "../base/mod.ts";
import { CallTrace, type TracedCall } from "./call-trace.ts";
import { HomeTimes, Traces } from "./traces.ts";

const call = (result: string, seqs: number[] = []): Record<string, string | number | (string | number)[]> => ({
  nr: NR.write,
  args: ["1", '"x"', "1"],
  result,
  route: "home",
  seqs,
  at: 1,
  ms: 2,
});

test("watchers of a process each get every call, and home is told of the first and the last of them", async () => {
  const changes: boolean[] = [];
  const traces = new Traces(
    (_, on) => changes.push(on),
    () => 2,
  );
  const { pid } = process;
  const first = await traces.poll(pid, null, false);
  const second = await traces.poll(pid, null, false);
  assert.deepEqual([changes, traces.watched(pid), traces.watched(1)], [[true], true, false]);
  const waiting = traces.poll(pid, first.session, false);
  const times = new HomeTimes();
  times.began(7);
  times.ended(7);
  traces.take(pid, 2, [call("1", [7]), call("2")], 3, times);
  const one = await waiting;
  assert.deepEqual([one.lines[0]?.name, one.lines[0]?.node, one.ended], ["write", 2, false]);
  const two = await traces.poll(pid, second.session, false);
  assert.deepEqual([two.lines.map((l) => l.result), two.lost], [["1", "2"], 3]);
  assert.ok((two.lines[0]?.homeMs ?? -1) >= 0);
  await traces.poll(pid, first.session, true);
  assert.deepEqual(changes, [true]);
  await traces.poll(pid, second.session, true);
  assert.deepEqual([changes, traces.watched(pid)], [[true, false], false]);
  const code = (want: string) => (e: unknown) => e instanceof TeselaError && e.code === want;
  await assert.rejects(traces.poll(pid, second.session, false), code("E_USAGE"));
  await assert.rejects(traces.poll(0x3fff_ffff, null, false), code("E_NOENT_PID"));
  assert.throws(() => traces.take(pid, 2, [{ nr: "x" }], 0, null), code("E_PROTOCOL"));
});

test("a guest's calls are told together, each when it is over, and too many are counted", async () => {
  const sent: TracedCall[] = [];
  let lost = 0;
  let release = (): void => undefined;
  const memory = { read: () => Buffer.alloc(0), readUpTo: () => Buffer.alloc(0), write: () => undefined };
  const trace = new CallTrace(memory, (calls, more) => {
    sent.push(...calls);
    lost += more;
    return new Promise<void>((resolve) => {
      release = resolve;
    });
  });
  const args = [3n, 0n, 0n, 0n, 0n, 0n];
  trace.begin(NR.close, args, { kind: "back", reason: "because" });
  trace.begin(NR.getpid, args, { kind: "answer", result: 5n });
  trace.end(5n);
  trace.begin(NR.rt_sigaction, args, { kind: "engine", name: "rt_sigaction" });
  trace.flew(9);
  // The kernel beside it makes it in the end: that shows only when the next call comes.
  trace.begin(NR.brk, args, { kind: "local" });
  trace.close();
  assert.deepEqual(
    sent.map((c) => [c.nr, c.result, c.route, c.seqs.length]),
    [
      [NR.close, "? (because)", "back", 0],
      [NR.getpid, "5", "engine", 0],
      [NR.rt_sigaction, "?", "home", 1],
      [NR.brk, "?", "here", 0],
    ],
  );
  for (let i = 0; i < 5000; i++) {
    trace.begin(NR.getpid, args, { kind: "answer", result: 5n });
    trace.end(5n);
  }
  for (let waited = 0; sent.length < 4 + 4096 && waited < 5000; waited++) {
    release();
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.deepEqual([sent.length, lost], [4 + 4096, 5000 - 4096]);
});
