import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { KINDS, makeJob, movingScript, plainScript, sizeFor } from "./jobs.ts";
import type { Running } from "./moving.ts";
import { bar, Screen } from "./screen.ts";
import { liveLines, median, moveLine, summaryLines } from "./view.ts";

test("sizes follow the machine's speed, and never fall to nothing", () => {
  const [pi, loop] = KINDS;
  assert.ok(pi && loop);
  assert.equal(sizeFor(loop, 0.5, 5), loop.probe * 10);
  assert.ok(sizeFor(pi, 0.5, 5) < pi.probe * 3, "digits cost more the more they are");
  assert.equal(sizeFor(loop, 100, 1), loop.step);
});

test("a job tells its PID, and is the same with and without moving", () => {
  for (const kind of KINDS) {
    const job = makeJob(kind, 1, kind.step);
    assert.equal(movingScript(job).replace("exec tesela run ", "exec "), plainScript(job));
    const done = spawnSync("sh", ["-c", plainScript(job)], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe", "pipe"] });
    assert.equal(done.status, 0, done.stderr);
    assert.notEqual(done.stdout, "");
    assert.match(String(done.output[3]), /^\d+\n$/);
  }
});

test("lines stay, the block below is drawn anew; nowhere but on a terminal", () => {
  let text = "";
  const write = (s: string): void => {
    text += s;
  };
  const output = (isTty: boolean) => ({ isTty, columns: () => 80, write });
  {
    using screen = new Screen(output(false));
    screen.draw(["a"]);
    screen.line("b");
  }
  assert.equal(text, "b\n");
  text = "";
  {
    using screen = new Screen(output(true));
    screen.draw(["a", "b"]);
    screen.line("c");
    screen.erase();
  }
  assert.equal(
    text,
    [
      "\x1b[?25l",
      "\ra\x1b[K\nb\x1b[K\n\x1b[0J",
      "\r\x1b[2A\x1b[0J",
      "c\n",
      "\ra\x1b[K\nb\x1b[K\n\x1b[0J",
      "\r\x1b[2A\x1b[0J",
      "\x1b[?25h",
    ].join(""),
  );
  assert.equal(bar(0.5, 16), `[####....]  50 %`.slice(0, 16));
});

test("the live table, a move, the summary", () => {
  const move = { pid: 7, from: 1, to: 2, bytes: 4096, freezeMs: 1.25, totalMs: 2 };
  const job = { name: "bc: pi", size: 100, unit: "digits", script: "" };
  const running = { job, pid: 7, row: null, moves: [move], refused: 0, end: null } as unknown as Running;
  const lines = liveLines([running], ["h1", "h2"], 0.25, 80);
  assert.match(lines[2] ?? "", /^bc: pi +7 +\u00b7\u00b7 h2 +0 +1 +1\.3 ms +runs$/);
  assert.ok(lines.every((l) => l.length <= 79));
  const command = "tesela migrate 7 2";
  assert.equal(
    moveLine({ running, command, moved: move, error: null }, 1.25),
    "  1.3 s  h1$ tesela migrate 7 2       # bc: pi: h1 -> h2, 4.0 KiB, stood still 1.3 ms",
  );
  assert.match(moveLine({ running, command, moved: null, error: "no" }, 1), /# bc: pi: refused: no$/);
  assert.match(summaryLines([running], ["equal"])[1] ?? "", /^bc: pi +100 digits +1 +1\.3 ms +1\.3 ms +equal$/);
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 2, 3]), 2.5);
});
