import assert from "node:assert/strict";
import { test } from "node:test";
import { mountsWithPrograms, newLines } from "./exec-placement.ts";

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

test("of mounts that came later only the new ones are watched, also one over another", () => {
  const root = "22 1 8:1 / / rw - ext4 /dev/sda1 rw";
  const [over, gone, same] = [
    "90 22 0:50 / /opt rw - tmpfs none rw",
    "80 22 0:40 / /mnt rw - ext4 /dev/sdb rw",
    "70 22 0:41 / /opt rw - ext4 x rw",
  ];
  const before = [root, gone, same].join("\n");
  assert.deepEqual(mountsWithPrograms(newLines("", before)), ["/", "/mnt", "/opt"]);
  assert.deepEqual(mountsWithPrograms(newLines(before, [root, same, over].join("\n"))), ["/opt"]);
  assert.equal(newLines(before, before), "");
});
