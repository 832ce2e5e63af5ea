import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { realpathSync } from "node:fs";
import { test } from "node:test";
import { ExecWatch } from "./exec-watch.ts";

const skip = process.getuid?.() === 0 ? false : "fanotify marks on mounts need CAP_SYS_ADMIN";

test("tells which process becomes which program, in order", { skip }, () => {
  using watch = new ExecWatch();
  const sh = realpathSync("/bin/sh");
  watch.addMount(sh);
  assert.deepEqual(
    watch.take().filter(({ pid }) => pid === process.pid),
    [],
  );
  const { pid } = spawnSync("/bin/sh", ["-c", "exec /bin/true"]);
  const seen = watch.take().filter((b) => b.pid === pid && !/\/ld[^/]*$/.test(b.path));
  assert.deepEqual(
    seen.map((b) => b.path),
    [sh, realpathSync("/bin/true")],
  );
  for (let i = 0; i < 200; i++) spawnSync("/bin/true");
  assert.ok(watch.take().length >= 200, "more than one buffer holds");
  assert.deepEqual(
    watch.take().filter((b) => b.pid === pid),
    [],
  );
});

test("a path that is not there is an error", { skip }, () => {
  using watch = new ExecWatch();
  assert.throws(() => watch.addMount("/no/such/place"), /ENOENT/);
});
