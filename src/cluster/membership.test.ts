import assert from "node:assert/strict";
import { test } from "node:test";
import { SeededRandom, VirtualClock } from "../io/mod.ts";
import { LAN } from "./gossip-knobs.ts";
import { decode, encode, type GossipMessage, type MemberState, type Rumour } from "./gossip-message.ts";
import { type Contact, Membership } from "./membership.ts";
import { contact, entryOf, TestGossip } from "./test-gossip.ts";

/** Node 1, all of whose peers are this test. */
class Lone {
  readonly clock = new VirtualClock();
  readonly sent: { to: Contact; m: GossipMessage }[] = [];
  readonly changes: string[] = [];
  readonly it: Membership;

  constructor(seeds: readonly number[], seed = 1) {
    this.it = new Membership({
      self: contact(1),
      seeds: seeds.map(contact),
      clock: this.clock,
      random: new SeededRandom(seed),
      entry: () => entryOf(1),
      send: (to, bytes) => {
        const m = decode(bytes);
        assert.ok(m !== null && bytes.length <= LAN.messageBytes);
        this.sent.push({ to, m });
      },
    });
    this.it.onChange((m, was, restarted) => this.changes.push(`${m.id} ${was} ${m.state}${restarted ? " again" : ""}`));
  }
  /** Node `from` says something. */
  say(from: number, m: Partial<GossipMessage> = {}): void {
    const whole: GossipMessage = { type: "news", seq: 0, life: from, incarnation: 1, about: 0, rumours: [], loads: [], ...m };
    this.it.receive(encode(whole), { id: from, address: contact(from).address, port: contact(from).gossip });
  }
  rumour(id: number, state: MemberState, incarnation: number, more: Partial<Rumour> = {}): void {
    this.say(2, { rumours: [{ id, state, incarnation, life: id, by: 2, ...more }] });
  }
  /** All that was said since the last question. */
  said(type?: GossipMessage["type"]): { to: Contact; m: GossipMessage }[] {
    return this.sent.splice(0).filter(({ m }) => type === undefined || m.type === type);
  }
  state(id: number): MemberState | undefined {
    return this.it.get(id)?.state;
  }
}

test("a seed is down until it says something; an unknown node is asked who it is, and answered meanwhile", () => {
  const l = new Lone([2]);
  assert.equal(l.state(2), "down");
  assert.equal(l.said("ping")[0]?.to.id, 2);
  l.say(2);
  assert.equal(l.state(2), "up");
  l.said();
  l.say(3, { type: "ping", seq: 77 });
  assert.equal(l.state(3), undefined);
  const said = l.said();
  assert.deepEqual(
    said.map(({ to, m }) => [to.address, to.gossip, m.type, m.seq, m.about]),
    [
      [contact(3).address, 5428, "ack", 77, 0],
      [contact(3).address, 5428, "page", 0, 2],
    ],
  );
  const { id, ...where } = contact(3);
  l.say(3, { type: "list", rumours: [{ id, state: "up", incarnation: 1, life: 3, by: 3, where }] });
  assert.deepEqual([l.state(3), l.it.get(3)?.address], ["up", where.address]);
  assert.deepEqual(l.changes, ["2 down up", "3 null up"]);
});

test("what is said of a member counts by incarnation, then by state", () => {
  const order: readonly [MemberState, number, MemberState][] = [
    ["suspect", 0, "up"],
    ["suspect", 1, "suspect"],
    ["up", 1, "suspect"],
    ["up", 2, "up"],
    ["down", 1, "up"],
    ["down", 2, "down"],
    ["up", 2, "down"],
    ["suspect", 2, "down"],
    ["suspect", 3, "suspect"],
    ["up", 4, "up"],
    ["left", 4, "left"],
    ["down", 4, "left"],
    ["up", 4, "left"],
    ["up", 5, "up"],
    ["down", 5, "down"],
    ["left", 5, "left"],
  ];
  const l = new Lone([2, 3]);
  l.say(2);
  l.say(3);
  for (const [said, incarnation, then] of order) {
    l.rumour(3, said, incarnation);
    assert.equal(l.state(3), then, `${said} ${incarnation}`);
  }
});

test("who does not answer is probed through others, suspected, and down when it does not refute in time", async () => {
  const l = new Lone([2, 3]);
  l.say(2);
  l.say(3);
  const answer = (): void => {
    for (const { to, m } of l.said()) {
      if (to.id !== 2) continue;
      if (m.type === "ping") l.say(2, { type: "ack", seq: m.seq });
      if (m.type === "ask") l.say(2, { type: "nack", seq: m.seq });
    }
  };
  for (let ms = 0; ms < 1600; ms += 10) {
    await l.clock.advance(10);
    if (l.sent.some(({ to, m }) => m.type === "ask" && to.id === 2 && m.about === 3)) l.changes.push("asked");
    answer();
  }
  assert.equal(l.state(3), "suspect");
  assert.ok(l.changes.indexOf("asked") >= 0 && l.changes.indexOf("asked") < l.changes.indexOf("3 up suspect"), l.changes.join("; "));
  const told = l.sent.length;
  for (let ms = 0; ms < 4000; ms += 10) {
    await l.clock.advance(10);
    answer();
  }
  assert.equal(l.state(3), "down");
  assert.equal(l.state(2), "up");
  assert.ok(told >= 0);
});

test("a suspicion that others confirm ends sooner", async () => {
  const timeOf = async (voices: readonly number[]): Promise<number> => {
    const l = new Lone([2, 3, 4, 5]);
    for (const id of [2, 3, 4, 5]) l.say(id);
    for (const by of voices) l.rumour(5, "suspect", 1, { by });
    for (let ms = 0; ; ms += 10) {
      await l.clock.advance(10);
      for (const { to, m } of l.said()) if (to.id !== 5 && m.type === "ping") l.say(to.id, { type: "ack", seq: m.seq });
      // Its own probe is a voice too: it is not to be heard here.
      for (const { to, m } of l.said("ping")) if (to.id === 5) l.say(5, { type: "ack", seq: m.seq });
      if (l.state(5) === "down") return ms;
      assert.ok(ms < 20_000);
    }
  };
  const [one, two, same] = [await timeOf([2]), await timeOf([2, 3]), await timeOf([2, 2])];
  assert.ok(two <= one && two < 2000, `${one}, ${two}`);
  assert.equal(same, one);
});

test("a node refutes what is said of it with a new incarnation, also what a former life left behind", () => {
  const l = new Lone([2]);
  l.say(2);
  const now = (): { incarnation: number; life: number } => {
    l.said();
    l.say(2, { type: "ping" });
    return l.said("ack")[0]?.m ?? { incarnation: 0, life: 0 };
  };
  assert.equal(now().incarnation, 1);
  for (const [state, at, life, then] of [
    ["suspect", 1, null, 2],
    ["suspect", 1, null, 2],
    ["down", 7, null, 8],
    ["left", 8, 99, 9],
    ["up", 9, 99, 10],
    ["up", 9, 99, 10],
    ["up", 10, null, 10],
  ] as const) {
    l.rumour(1, state, at, { life: life ?? now().life });
    assert.equal(now().incarnation, then, `${state} ${at}`);
  }
  l.said();
  l.rumour(1, "down", 10);
  l.say(2, { type: "ping" });
  const { m } = l.said("ack")[0] ?? {};
  assert.deepEqual(
    m?.rumours.filter((r) => r.id === 1).map((r) => [r.state, r.incarnation, r.where?.name]),
    [["up", 11, "h1"]],
  );
});

test("who pings while it is held to be down, or to live another life, is told so", () => {
  const l = new Lone([2, 3]);
  l.say(2);
  l.say(3);
  const told = (m: Partial<GossipMessage>): unknown => {
    l.said();
    l.say(3, { type: "ping", ...m });
    return l
      .said("ack")[0]
      ?.m.rumours.filter((r) => r.id === 3)
      .map((r) => [r.state, r.incarnation, r.life]);
  };
  assert.deepEqual(told({}), []);
  assert.deepEqual(told({ life: 4 }), [["up", 1, 3]]);
  l.rumour(3, "down", 1);
  assert.deepEqual(told({}), [["down", 1, 3]]);
  l.changes.length = 0;
  assert.deepEqual(told({ incarnation: 2, life: 4 }), []);
  assert.deepEqual(told({ incarnation: 3, life: 5 }), []);
  assert.deepEqual(l.changes, ["3 down up", "3 up up again"]);
});

test("load is taken of members only, ages, and is not used when it is old", async () => {
  const l = new Lone([2, 3]);
  l.say(2);
  const load = (id: number, seq: number, ageMs: number, value: number, life = id) =>
    l.say(2, { loads: [{ id, life, seq, ageMs, entry: entryOf(id, value) }] });
  load(3, 5, 100, 1);
  load(9, 1, 0, 1);
  assert.equal(l.it.get(9), null);
  assert.deepEqual([l.it.get(3)?.entry?.load, l.it.get(3)?.ageMs], [1, 110]);
  load(3, 4, 0, 2);
  assert.equal(l.it.get(3)?.entry?.load, 1, "an older one that was late");
  await l.clock.advance(1000);
  assert.equal(l.it.get(3)?.ageMs, 1110);
  load(3, 1, 0, 3, 77);
  assert.equal(l.it.get(3)?.entry?.load, 3, "another life counts anew");
  load(3, 6, 2000, 4);
  assert.equal(l.it.get(3)?.entry?.load, 3, "an old one of the former life");
  await l.clock.advance(10_000);
  assert.deepEqual([l.it.get(3)?.entry, l.it.get(3)?.ageMs], [null, Number.POSITIVE_INFINITY]);
  load(3, 9, 10_000, 4, 77);
  assert.equal(l.it.get(3)?.entry, null, "too old on arrival");
});

test("who is removed is not listed, not heard and not heard of, until it is a seed again", () => {
  const l = new Lone([2, 3]);
  l.say(2);
  l.say(3);
  l.it.remove(3);
  const { id, ...where } = contact(3);
  l.said();
  l.say(3, { type: "ping" });
  l.rumour(3, "up", 9, { where });
  assert.deepEqual([l.state(id), l.it.admits(3), l.said("ack").length], [undefined, false, 0]);
  l.it.setSeeds([contact(3)]);
  l.say(3);
  assert.equal(l.state(3), "up");
});

test("members that are new are greeted at once, some of them where there are many; whose load is heard is told", () => {
  const l = new Lone([]);
  assert.deepEqual(l.said(), []);
  l.it.setSeeds([contact(2), contact(3)]);
  assert.deepEqual(
    l
      .said("ping")
      .map(({ to }) => to.id)
      .sort(),
    [2, 3],
  );
  l.it.setSeeds([contact(2), contact(3)]);
  assert.deepEqual(l.said(), []);
  l.it.setSeeds(Array.from({ length: 50 }, (_, i) => contact(i + 2)));
  assert.equal(l.said("ping").length, LAN.fanout);

  const heard: number[] = [];
  l.it.onLoad((id) => heard.push(id));
  const load = (life: number, seq: number) => ({ id: 2, life, seq, ageMs: 0, entry: entryOf(2, seq) });
  l.say(2, { loads: [load(2, 1)] });
  l.say(3, { loads: [load(2, 1)] });
  assert.deepEqual([heard, l.it.get(2)?.entry?.load], [[2], 1]);
  // Another life, of which nothing is known yet.
  l.say(2, { life: 77, incarnation: 2 });
  assert.deepEqual([l.it.get(2)?.life, l.it.get(2)?.entry], [77, null]);
  // What it says itself in that life comes before or after the news of it.
  l.say(2, { life: 78, incarnation: 3, loads: [load(78, 1)] });
  assert.deepEqual([heard, l.it.get(2)?.entry?.load], [[2, 2], 1]);
  l.say(3, { loads: [{ ...load(79, 1), id: 4 }] });
  l.rumour(4, "up", 1, { life: 79 });
  assert.equal(l.it.get(4)?.entry?.load, 1);
});

test("a newcomer tells those first that have something to give away, and no more messages than others do", async () => {
  const n = 60;
  const g = new TestGossip({ seed: 4 });
  for (let id = 1; id <= n; id++) g.loads.set(id, id === n ? 3 : 1);
  for (let id = 1; id <= n; id++) g.start(id, [1, 2, 3]);
  await g.clock.advance(10_000);
  g.prefers = (load) => load.load > 2;
  g.start(n + 1, [1, 2, 3]);
  await g.clock.advance(1000);
  const told: number[] = [];
  for (let i = 0; i < 5; i++) {
    const before = g.network.total.sent;
    g.of(n + 1).tellLoad();
    told.push(g.network.total.sent - before);
  }
  assert.deepEqual(told, [3, 3, 3, 3, 3]);
  await g.clock.advance(10);
  assert.ok(g.of(n).get(n + 1)?.entry, "the one that has too much has heard of it");
  g.end();
});

test("a node that leaves says so, and is heard of no more", async () => {
  const g = new TestGossip();
  for (const id of [1, 2, 3]) g.start(id, [1]);
  await g.clock.advance(3000);
  const gone = g.of(3).leave();
  await g.clock.advance(1000);
  await gone;
  g.kill(3);
  assert.deepEqual([g.state(3, 1), g.state(3, 2)], ["left", "left"]);
  await g.clock.advance(20_000);
  assert.deepEqual([g.state(3, 1), g.state(3, 2)], ["left", "left"]);
  g.start(3, [1]);
  await g.clock.advance(2000);
  assert.deepEqual([g.state(3, 1), g.state(3, 2)], ["up", "up"]);
  g.end();
});

test("started anew before anybody missed it, it is known to have been away", async () => {
  const g = new TestGossip({ sealed: true });
  for (const id of [1, 2, 3]) g.start(id, [1, 2, 3]);
  await g.clock.advance(3000);
  g.changes.length = 0;
  g.kill(3);
  await g.clock.advance(100);
  g.start(3, [1, 2, 3]);
  await g.clock.advance(3000);
  for (const at of [1, 2]) {
    assert.ok(
      g.changes.some((c) => c.startsWith(`${at}: 3 `) && c.endsWith(" up again")),
      g.changes.join("; "),
    );
    assert.equal(g.of(at).get(3)?.entry?.memTotal, 3 * 4096);
  }
  g.end();
});
