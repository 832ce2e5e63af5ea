/** The door before shared memory that is away, when this process has no descriptor left: nobody is let in, refused, or forgotten. */
import assert from "node:assert/strict";
import { closeSync, fstatSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { isEnd, libc, Tracees } from "../sys/mod.ts";
import { Door } from "./door.ts";

const skip = process.getuid?.() === 0 ? false : "only root may ask who opens a file";
const options = { skip, timeout: 60_000 };
const RLIMIT_NOFILE = 7;
const LOOKS_MS = 100;
const POLL_MS = 5;
const CONTENT = "what they share";

/** A file behind a door, and those who open it. */
class Place implements Disposable {
  private readonly dir = mkdtempSync("/dev/shm/tesela-door-");
  private readonly tracees = new Tracees();
  private readonly fd: number;
  private visitors = 0;
  private left = 0;
  private opened = false;
  readonly knocks: number[] = [];
  readonly door: Door;

  constructor() {
    const path = join(this.dir, "file");
    writeFileSync(path, CONTENT);
    this.fd = openSync(path, "r");
    const { dev, ino } = fstatSync(this.fd);
    const object = { id: "1", name: "1.0", size: CONTENT.length, fd: this.fd, dev, ino, named: true };
    this.door = new Door(
      [object],
      () => false,
      (pid) => this.knocks.push(pid),
    );
  }

  /** Starts somebody who opens the file. */
  visit(): void {
    const out = openSync(join(this.dir, `out${this.visitors++}`), "w");
    const pid = libc.spawn("/bin/cat", ["cat", join(this.dir, "file")], [out, out, out]);
    closeSync(out);
    this.tracees.claim(pid, (s) => {
      if (isEnd(s)) this.left++;
    });
  }

  /** What each of them has read so far, or heard. */
  get said(): string[] {
    return Array.from({ length: this.visitors }, (_, i) => readFileSync(join(this.dir, `out${i}`), "utf8"));
  }
  /** Lets them through, and waits until they have gone. */
  async open(): Promise<void> {
    this.door[Symbol.dispose]();
    this.opened = true;
    while (this.left < this.visitors) await sleep(POLL_MS);
  }

  [Symbol.dispose](): void {
    if (!this.opened) this.door[Symbol.dispose]();
    closeSync(this.fd);
    rmSync(this.dir, { recursive: true });
    this.tracees[Symbol.dispose]();
  }
}

/** From now on this process gets `more` descriptors and no others. */
function leaveDescriptors(more: number): Disposable {
  const was = Buffer.alloc(16);
  libc.must("prlimit", libc.prlimit(0, RLIMIT_NOFILE, null, was));
  const next = Array.from({ length: more + 1 }, () => openSync("/dev/null", "r"));
  for (const fd of next) closeSync(fd);
  const now = Buffer.from(was);
  now.writeBigUInt64LE(BigInt(next.at(-1) ?? 0), 0);
  libc.must("prlimit", libc.prlimit(0, RLIMIT_NOFILE, now, null));
  return { [Symbol.dispose]: () => void libc.must("prlimit", libc.prlimit(0, RLIMIT_NOFILE, was, null)) };
}

for (const more of [0, 2]) {
  test(`with ${more} descriptors left five who come wait, and are let in`, options, async () => {
    using place = new Place();
    for (let i = 0; i < 5; i++) place.visit();
    {
      using _ = leaveDescriptors(more);
      while (!place.knocks.includes(0)) await sleep(POLL_MS);
      await sleep(LOOKS_MS);
    }
    assert.deepEqual(place.said, ["", "", "", "", ""], "they wait");
    while (new Set(place.knocks).size < 6) await sleep(POLL_MS);
    assert.deepEqual(place.said, ["", "", "", "", ""], "they wait still");
    await place.open();
    assert.deepEqual(place.said, Array(5).fill(CONTENT));
  });
}

test("who was not looked at when the door is opened is let in", options, async () => {
  using place = new Place();
  place.visit();
  place.visit();
  using _ = leaveDescriptors(0);
  while (!place.knocks.includes(0)) await sleep(POLL_MS);
  await place.open();
  assert.equal(place.knocks.filter((pid) => pid > 0).length <= 1, true, "one at most was looked at");
});
