import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Log } from "../base/mod.ts";
import { Keyring, LOCAL } from "../cluster/mod.ts";
import { DatagramNetwork, realClock, SeededRandom } from "../io/mod.ts";
import { Gossip } from "./gossip.ts";
import type { NodeStatus } from "./peer.ts";
import { someStatus } from "./test-members.ts";

const GUARD_MS = 20_000;
const network = new DatagramNetwork({ clock: realClock, random: new SeededRandom(1) });
const keys = new Keyring([Buffer.alloc(32, 3)]);
const peer = (id: number) => ({ id, name: `h${id}`, address: `10.0.0.${id}`, port: 4660 });
const both = [peer(1), peer(2)];

/** One of two nodes, and whom it has found open. */
class Node {
  readonly id: number;
  readonly opened: number[] = [];
  status: NodeStatus | null = someStatus;
  it: Gossip;

  constructor(id: number) {
    this.id = id;
    this.it = this.start();
  }

  start(): Gossip {
    const self = { ...peer(this.id), cluster: "test", fixed: false };
    const it = new Gossip({
      ...{ self, keys, knobs: LOCAL, log: new Log({ level: "error" }), status: () => this.status },
      datagrams: network.open({ address: self.address, port: 5428 }),
      unknownKey: () => undefined,
      admits: () => true,
      lost: () => undefined,
      opened: (id) => void this.opened.push(id),
    });
    it.setPeers(both.filter((p) => p.id !== this.id));
    return it;
  }
}

async function until(what: string, so: () => boolean): Promise<void> {
  for (const end = performance.now() + GUARD_MS; !so(); await sleep(5)) assert.ok(performance.now() < end, what);
}

test("a node that begins to take guests is noticed once, whenever it does so", async () => {
  await using stack = new AsyncDisposableStack();
  const [one, two] = [new Node(1), new Node(2)];
  stack.defer(() => one.it[Symbol.asyncDispose]());
  stack.defer(() => two.it[Symbol.asyncDispose]());
  const tell = (...flags: string[]): void => {
    two.status = { ...someStatus, flags };
    two.it.tell();
  };
  const shown = (flag: string): boolean => one.it.seen(2).status?.flags.includes(flag) ?? false;
  await until("it is open", () => one.opened.length > 0);
  tell("stay");
  await until("its flags are known", () => shown("stay"));
  assert.deepEqual(one.opened, [2], "it was open before");
  tell("noengine");
  await until("its engine is gone", () => shown("noengine"));
  assert.deepEqual(one.opened, [2]);
  tell();
  await until("and there again", () => one.opened.length === 2);
  tell("block");
  await until("it is closed", () => shown("block"));
  tell();
  await until("and open again", () => one.opened.length === 3);

  // What its former life said is shown, and is nothing to decide by.
  await two.it[Symbol.asyncDispose]();
  await until("it has left", () => one.it.seen(2).state === "down");
  two.status = null;
  two.it = two.start();
  await until("it is there", () => one.it.seen(2).state === "up");
  assert.deepEqual([one.it.seen(2).status?.cpus, one.it.seen(2).heard, one.opened.length], [2, null, 3]);
  two.status = someStatus;
  two.it.tell();
  await until("it speaks for itself", () => one.opened.length === 4);
  assert.ok(one.it.seen(2).heard !== null);
});
