import assert from "node:assert/strict";
import { test } from "node:test";
import { type Competition, type CpuLook, RivalMeter } from "./rivals.ts";

const near = (got: number, want: number, by = 0.05): void =>
  assert.ok(Math.abs(got - want) <= by * Math.max(1, want), `${got}, want ${want}`);

/** One CPU with tasks of its own and of others that all want all of it, as fair shares have it. */
const shared = (own: number, others: number, cpus = 1): CpuLook => {
  const share = Math.min(1, cpus / Math.max(1, own + others));
  const got = own * share;
  const idle = Math.max(0, cpus - own - others);
  return { cpus, got, wanted: own, ran: got, steady: own, cores: { count: cpus, idle, stolen: 0 } };
};

function after(seconds: number, look: CpuLook, meter = new RivalMeter()): Competition {
  let last = meter.look(look);
  for (let i = 1; i < seconds; i++) last = meter.look(look);
  return last;
}

/** Tasks for each CPU, its own and those of others. */
const crowd = (look: CpuLook, c: Competition): number => (look.wanted + c.suspended + c.rivals) / c.whole;

test("a node that gets all of its CPUs has no rivals, however many tasks wait", () => {
  for (const own of [0, 0.5, 1, 12, 200]) {
    for (const cpus of [1, 2, 64])
      assert.deepEqual(after(20, shared(own, 0, cpus)), { got: cpus, whole: cpus, unseen: 0, rivals: 0, untried: false, suspended: 0 });
  }
});

test("one that shares a CPU knows what it gets, and how many it competes with", () => {
  for (const [own, others] of [
    [1, 1],
    [4, 4],
    [1, 11],
    [6, 2],
  ] as const) {
    const look = shared(own, others);
    const c = after(20, look);
    near(c.got, own / (own + others));
    near(c.rivals, others);
    near(crowd(look, c), own + others);
  }
});

test("an idle node whose CPU others use knows that it is in use", () => {
  const c = after(20, shared(0, 1));
  near(c.rivals, 1);
  near(c.got, 0.5);
  const many = after(20, { ...shared(0, 8, 8) });
  near(many.rivals, 8);
  near(many.got, 8 / 9);
  assert.ok(c.untried && many.untried, "by how many it cannot know before something of its own has run there");
  assert.ok(!after(2, shared(1, 7)).untried && !after(20, shared(0, 0)).untried);
});

test("it is believed slowly, and gone soon after", () => {
  const meter = new RivalMeter();
  meter.look(shared(4, 0));
  const first = meter.look(shared(4, 4));
  assert.ok(first.got > 0.75, `${first.got}`);
  near(after(12, shared(4, 4), meter).got, 0.5);
  near(after(8, shared(4, 0), meter).got, 1);
});

test("rivals that come and go are met by their average", () => {
  const meter = new RivalMeter();
  const seen: number[] = [];
  for (let i = 0; i < 60; i++) seen.push(meter.look(i % 2 === 0 ? shared(3, 3) : shared(3, 0)).got);
  for (const got of seen.slice(20)) assert.ok(got > 0.6 && got < 0.9, `${got}`);
});

test("while the node is idle it remembers how crowded it was, for a while", () => {
  const meter = new RivalMeter();
  after(20, shared(2, 6), meter);
  assert.ok(after(5, shared(0, 6), meter).rivals > 3);
  near(after(300, shared(0, 6), meter).rivals, 1);
  near(after(10, shared(0, 0), meter).got, 1);
});

test("tasks that do not want all of it leave idle what they leave", () => {
  // Two that compute for half of the time, by chance at once.
  const half: CpuLook = { cpus: 1, got: 0.74, wanted: 1.2, ran: 0.74, steady: 0, cores: { count: 1, idle: 0.24, stolen: 0 } };
  assert.equal(after(30, half).got, 1);
});

test("a quota is not taken for rivals, and rivals within it are", () => {
  const quota: CpuLook = { cpus: 0.5, got: 0.5, wanted: 3, ran: 0.5, steady: 0, cores: { count: 4, idle: 3.5, stolen: 0 } };
  assert.equal(after(20, quota).got, 0.5);
  const full: CpuLook = { ...quota, got: 0.25, ran: 0.25, cores: { count: 4, idle: 0, stolen: 0 } };
  near(after(20, full).got, 0.25);
});

test("what a hypervisor takes is missing, whether or not tasks are charged for it", () => {
  // A third of what it wants, by one task: on some kernels that seems to run all the time.
  const uncharged: CpuLook = { cpus: 1, got: 0.67, wanted: 0.67, ran: 0.67, steady: 0, cores: { count: 1, idle: 0, stolen: 0.33 } };
  const charged: CpuLook = { ...uncharged, got: 1, wanted: 1, ran: 1, steady: 1 };
  for (const look of [uncharged, charged]) {
    const c = after(20, look);
    near(c.got, 0.67);
    near(c.rivals, 0);
    near(crowd(look, c), 1.5);
  }
});

test("an idle machine forgets what was taken from it", () => {
  const meter = new RivalMeter();
  after(20, { cpus: 1, got: 0.5, wanted: 1.5, ran: 0.5, steady: 1, cores: { count: 1, idle: 0, stolen: 0.5 } }, meter);
  const idle = shared(0, 0);
  assert.ok(after(5, idle, meter).got < 0.6);
  near(after(200, idle, meter).got, 1);
});

test("where nobody tells what its CPUs did, it learns from times when it had a task for each", () => {
  const blind = (look: CpuLook): CpuLook => ({ ...look, cores: null });
  near(after(20, blind(shared(4, 4))).got, 0.5);
  const meter = new RivalMeter();
  assert.equal(after(20, blind({ ...shared(4, 0), wanted: 2, got: 0.7, ran: 0.7, steady: 0 }), meter).got, 1);
  after(20, blind(shared(2, 2)), meter);
  assert.ok(after(5, blind(shared(0, 2)), meter).got < 0.65);
  near(after(300, blind(shared(0, 2)), meter).got, 1);
});

test("times that do not quite add up are noise", () => {
  const meter = new RivalMeter();
  for (let i = 0; i < 40; i++) assert.equal(meter.look({ ...shared(2, 0), got: i % 2 === 0 ? 0.94 : 1.05 }).got, 1);
});
