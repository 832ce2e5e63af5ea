import assert from "node:assert/strict";
import { test } from "node:test";
import { Log, TeselaError } from "../base/mod.ts";
import { OwnState } from "./own-state.ts";
import type { EngineStatus } from "./shapes.ts";

/** A node whose engine is there as the test says. */
class Own {
  engine: number | null = null;
  /** What its engine says to what it must know. */
  greeting: () => Promise<void> = () => Promise.resolve();
  guests = 2;
  /** How long its answer is under way. */
  slow: Promise<unknown> = Promise.resolve();
  readonly events: string[] = [];
  readonly it = new OwnState({
    engine: { status: () => this.status() },
    flags: () => ["stay"],
    speed: () => 10_000,
    movable: () => false,
    expected: ({ memFree, load, util }) => ({ memFree: memFree / 2, memGrowth: 7, load: load + 1, util }),
    rivals: () => false,
    greet: () => this.greeting(),
    found: () => void this.events.push("found"),
    lost: () => void this.events.push("lost"),
    log: new Log({ level: "error" }),
  });

  get flags(): readonly string[] | undefined {
    return this.it.told()?.flags;
  }

  private async status(): Promise<EngineStatus> {
    if (this.engine === null) throw new TeselaError("E_NOENGINE", "not there");
    const answer = { node: 1, pid: this.engine, version: "0", processes: 0, guests: this.guests, away: 1, rss: 1 };
    await this.slow;
    return answer;
  }
}

test("a node says nothing of itself before it has measured, and takes nobody before it has measured beside its engine", async () => {
  const o = new Own();
  await o.it.ask();
  assert.deepEqual([o.it.told(), o.it.isOpen, o.it.engine], [null, false, null]);
  assert.equal(o.it.sample(), true, "the others wait for its first word");
  assert.deepEqual(o.flags, ["stay", "noengine"]);
  assert.equal(o.it.sample(), false);

  o.engine = process.pid;
  await o.it.ask();
  assert.deepEqual([o.events, o.it.isOpen, o.flags], [["found"], false, ["stay", "noengine"]]);
  assert.equal(o.it.sample(), true, "they wait to hear that it takes guests");
  assert.deepEqual([o.it.isOpen, o.flags, o.it.told()?.guests], [true, ["stay"], 2]);
  assert.equal(o.it.sample(), false);
  const [own, told] = [o.it.figures(), o.it.told()];
  assert.deepEqual(
    [told?.memFree, told?.memGrowth, own.memGrowth],
    [own.memFree / 2, 7, undefined],
    "others are told what is on its way, too",
  );
  await o.it.ask();
  assert.deepEqual(o.events, ["found"]);
});

test("an engine that is gone closes the node at once, and one in its place opens it when it has been measured anew", async () => {
  const o = new Own();
  o.engine = process.pid;
  await o.it.ask();
  o.it.sample();
  o.engine = null;
  await o.it.ask();
  assert.deepEqual([o.events, o.it.isOpen, o.flags], [["found", "lost"], false, ["stay", "noengine"]]);
  o.engine = process.ppid;
  await o.it.ask();
  assert.equal(o.it.isOpen, false);
  o.it.sample();
  assert.equal(o.it.isOpen, true);
  // Started anew between two looks.
  o.engine = process.pid;
  await o.it.ask();
  assert.deepEqual([o.events, o.it.isOpen], [["found", "lost", "found", "found"], false]);
});

test("an engine that does not take in what it must know is not there yet; two who ask at once ask once", async () => {
  const o = new Own();
  let [asked, fails] = [0, true];
  o.engine = process.pid;
  o.greeting = async () => {
    asked++;
    if (fails) throw new TeselaError("E_TIMEOUT", "busy");
  };
  await o.it.ask();
  o.it.sample();
  assert.deepEqual([o.events, o.it.engine, o.it.isOpen, asked], [[], null, false, 1]);
  fails = false;
  await Promise.all([o.it.ask(), o.it.ask()]);
  assert.deepEqual([o.events, o.it.engine?.pid, asked], [["found"], process.pid, 2]);
});

test("who asks anew is not told what was answered before", async () => {
  const o = new Own();
  o.engine = process.pid;
  const { promise, resolve } = Promise.withResolvers<void>();
  o.slow = promise;
  const before = o.it.ask();
  o.guests = 0;
  const anew = o.it.askAnew();
  resolve();
  await before;
  assert.equal(o.it.engine?.guests, 2);
  await anew;
  assert.equal(o.it.engine?.guests, 0);
});
