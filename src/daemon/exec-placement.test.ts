import assert from "node:assert/strict";
import { test } from "node:test";
import { mountsWithPrograms } from "./exec-placement.ts";

test("programs are looked for where they can lie", () => {
  const text = [
    "22 27 0:21 / /proc rw,relatime - proc proc rw",
    "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw",
    "30 27 0:28 / /tmp rw,noexec,nosuid shared:3 - tmpfs tmpfs rw",
    "31 27 254:1 / /my\\040disk rw shared:4 master:1 - xfs /dev/vdb rw",
    "",
  ].join("\n");
  assert.deepEqual(mountsWithPrograms(text), ["/", "/my disk"]);
});
