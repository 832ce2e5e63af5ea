import assert from "node:assert/strict";
import { test } from "node:test";
import { glibcBits } from "../abi/mod.ts";
import { VirtualClock } from "../io/mod.ts";
import { localLoad, smoothGrowth, smoothShare, toldLoad } from "./averages.ts";
import { readList } from "./cpus.ts";
import { LoadSampler } from "./sampler.ts";
import { MACHINE, Root, schedText, statText } from "./test-root.ts";

test("CPUs by affinity and quota, memory by the tighter limit, load for each CPU", () => {
  using root = new Root({
    "proc/self/cgroup": "0::/x\n",
    "proc/self/status": "Name:\tx\nCpus_allowed_list:\t0-1,5\n",
    "proc/cpuinfo": "processor\t: 0\nflags\t\t: fpu pni avx vmx\n",
    "proc/meminfo": "MemTotal:       1000 kB\nMemFree: 1 kB\nMemAvailable:    500 kB\n",
    "sys/fs/cgroup/x/cpu.max": "200000 100000\n",
    "sys/fs/cgroup/x/memory.max": "409600\n",
    "sys/fs/cgroup/x/memory.current": "9600\n",
    "proc/7/stat": statText({ state: "R" }),
    "proc/8/stat": statText({ threads: 2 }),
    "proc/8/task/8/stat": statText({ state: "R", threads: 2 }),
    "proc/8/task/9/stat": statText({ state: "R", threads: 2 }),
  });
  const cpu = glibcBits(new Set(["pni", "avx"]));
  const { cpus, speed, cpu: bits, load, local, runnable, memTotal, memFree } = new LoadSampler({ root: root.path }).sample();
  assert.deepEqual(
    { cpus, speed, cpu: bits, load, memTotal, memFree },
    { cpus: 2, speed: 10_000, cpu, load: 1.5, memTotal: 409_600, memFree: 400_000 },
  );
  assert.deepEqual([runnable, local], [3, 1.5]);
});

test("of the machine that this is", async () => {
  const sampler = new LoadSampler();
  sampler.sample();
  await new Promise((resolve) => setTimeout(resolve, 50));
  const real = sampler.sample();
  assert.ok(real.cpus > 0 && real.memTotal > real.memFree && real.memFree > 0);
  assert.ok(real.load >= 0 && real.util >= 0 && real.util <= 1 && real.own <= real.local);
  assert.ok(Number.isFinite(real.memGrowth) && real.swapIn >= 0 && real.swapOut >= 0);
});

test("told load rises at once and falls slowly, local load the other way", () => {
  assert.equal(toldLoad(1, 3), 3);
  assert.equal(toldLoad(8, 0), 7);
  // Of what it has seen for two seconds only, a third one is a third.
  assert.equal(toldLoad(9, 0, 1, 2), 6);
  assert.equal(toldLoad(8, 0, 1, 7), 7);
  assert.equal(toldLoad(8, 0, 1, 100), 7);
  assert.equal(toldLoad(1, 3, 0.25, 0.5), 3);
  assert.equal(localLoad(0, 8), 3);
  assert.equal(localLoad(8, 1), 1);
  assert.equal(smoothShare(0, 1), 0.375);
  assert.equal(smoothGrowth(0, 400), 300);
  assert.equal(smoothGrowth(400, 0), 200);
  assert.deepEqual(readList("0-3,8"), [0, 1, 2, 3, 8]);
});

test("load is what tasks ran and waited; Tesela's own do not count, and the owner's are told apart", async () => {
  using root = new Root({ ...MACHINE, "proc/20/stat": statText({ ticks: 0 }), "proc/20/schedstat": schedText(0, 0) });
  for (const pid of [21, 22])
    root.write({ [`proc/${pid}/stat`]: statText({ state: "R", ticks: 1 }), [`proc/${pid}/schedstat`]: schedText(10, 0) });
  const clock = new VirtualClock();
  const sampler = new LoadSampler({ root: root.path, clock, speed: 5000 });
  const parts = { ours: new Set([22]), movable: (pid: number) => pid === 21 };
  // The first look has only the states: one runs, on two CPUs of half the speed.
  assert.equal(sampler.sample(parts).load, 1);
  await clock.advance(1000);
  root.write({ "proc/20/stat": statText({ ticks: 26 }), "proc/20/schedstat": schedText(260, 40) });
  root.write({ "proc/21/stat": statText({ state: "S", ticks: 41 }), "proc/21/schedstat": schedText(410, 100) });
  root.write({ "proc/22/stat": statText({ state: "R", ticks: 99 }), "proc/22/schedstat": schedText(990, 0) });
  const s = sampler.sample(parts);
  // 20 wanted 0.3 of a CPU, 21 wanted 0.5 and got 0.4.
  assert.equal(s.runnable, 0.8);
  assert.equal(s.local, 0.8);
  // The first look was of a moment, and is in no average.
  assert.equal(s.load, 0.8);
  assert.equal(s.own, 0.3);
  // Tesela's own are users of the CPUs as well.
  assert.equal(s.util, 0.82);
});

test("where a quota holds tasks back, the states count", async () => {
  using root = new Root({
    ...MACHINE,
    "proc/self/cgroup": "0::/q\n",
    "sys/fs/cgroup/q/cpu.max": "50000 100000\n",
    "proc/20/stat": statText({ state: "R", ticks: 0 }),
    "proc/20/schedstat": schedText(0, 0),
  });
  const clock = new VirtualClock();
  const sampler = new LoadSampler({ root: root.path, clock });
  sampler.sample();
  await clock.advance(1000);
  root.write({ "proc/20/stat": statText({ state: "R", ticks: 50 }), "proc/20/schedstat": schedText(500, 0) });
  const s = sampler.sample();
  assert.deepEqual([s.cpus, s.runnable, s.load], [0.5, 1, 2]);
});

test("what descends from Tesela's own are guests, and not the owner's", () => {
  using root = new Root({
    ...MACHINE,
    "proc/70/stat": statText({ state: "R" }),
    "proc/71/stat": statText({ ppid: 70 }),
    "proc/72/stat": statText({ state: "R", ppid: 71 }),
    "proc/73/stat": statText({ state: "R", ppid: 1 }),
  });
  const sampler = new LoadSampler({ root: root.path });
  const s = sampler.sample({ ours: new Set([70]) });
  assert.deepEqual([s.runnable, s.own], [2, 0.5]);
  assert.deepEqual([...sampler.processes.keys()].sort(), [71, 72, 73]);
});

test("one that shares its CPU with tasks that it does not see tells what its own get, and no more as the owner's", async () => {
  using root = new Root({ ...MACHINE, "proc/self/status": "Cpus_allowed_list:\t1\n" });
  const clock = new VirtualClock();
  const sampler = new LoadSampler({ root: root.path, clock });
  const second = (n: number, got: number, idle: number): ReturnType<LoadSampler["sample"]> => {
    // Two own tasks that always want to run, each with half of what is got.
    for (const pid of [30, 31])
      root.write({
        [`proc/${pid}/stat`]: statText({ state: "R", ticks: (n * 100 * got) / 2 }),
        [`proc/${pid}/schedstat`]: schedText((n * 1000 * got) / 2, n * 1000 * (1 - got / 2)),
      });
    root.write({ "proc/stat": `cpu0 0 0 0 ${n * 100} 0 0 0 0 0 0\ncpu1 ${n * 100} 0 0 ${n * 100 * idle} 0 0 0 0 0 0\n` });
    return sampler.sample({ movable: (pid) => pid === 30 });
  };
  second(0, 0.25, 0);
  for (let n = 1; n < 20; n++) {
    await clock.advance(1000);
    second(n, 0.25, 0);
  }
  await clock.advance(1000);
  const s = second(20, 0.25, 0);
  const near = (value: number, want: number): void => assert.ok(Math.abs(value - want) < 0.05 * want, `${value}, want ${want}`);
  near(s.got, 0.25);
  for (const load of [s.load, s.local, s.present]) near(load, 8);
  assert.deepEqual([s.cpus, s.runnable, s.own, s.util], [1, 2, 1, 1]);
});

test("what others use of CPUs that a node may not is not its own matter", async () => {
  using root = new Root({
    ...MACHINE,
    "proc/self/status": "Cpus_allowed_list:\t1\n",
    "proc/stat": "cpu0 0 0 0 0 0 0 0 0\ncpu1 0 0 0 0 0 0 0 0\n",
  });
  const clock = new VirtualClock();
  const sampler = new LoadSampler({ root: root.path, clock });
  sampler.sample();
  await clock.advance(1000);
  root.write({ "proc/stat": "cpu0 100 0 0 0 0 0 0 0\ncpu1 0 0 0 100 0 0 0 0\n" });
  const s = sampler.sample();
  assert.deepEqual([s.got, s.load, s.util], [1, 0, 0]);
});

test("what a node's own start cost is forgotten as soon as it begins anew, and what came in its first moments soon after", async () => {
  using root = new Root({
    ...MACHINE,
    "proc/20/stat": statText({ state: "R", threads: 4 }),
    "proc/self/status": "Cpus_allowed_list:\t0\n",
  });
  for (const tid of [20, 21, 22, 23])
    root.write({
      [`proc/20/task/${tid}/stat`]: statText({ state: "R", threads: 4 }),
      [`proc/20/task/${tid}/schedstat`]: schedText(0, 0),
    });
  const clock = new VirtualClock();
  const sampler = new LoadSampler({ root: root.path, clock });
  let ran = 0;
  /** Process 30 wants the CPU for that part of the time. */
  const after = async (ms: number, wants: number): Promise<number> => {
    await clock.advance(ms);
    ran += ms * wants;
    root.write({ "proc/30/stat": statText({ state: "S", ticks: ran / 10 }), "proc/30/schedstat": schedText(ran, 0) });
    return sampler.sample({ ours }).load;
  };
  const ours = new Set([20]);
  assert.equal(sampler.sample().load, 4, "an engine that starts, which nobody knows for one yet");
  await after(40, 0);
  sampler.begin({ ours });
  assert.equal(await after(250, 1), 1, "a command");
  // Of 1.25 seconds it wanted a quarter, and so on; in the end it forgets an eighth a second, as ever.
  assert.equal(await after(1000, 0), 0.2);
  assert.equal(await after(1000, 0), 0.111);
  for (let n = 0; n < 10; n++) await after(1000, 0);
  assert.equal(await after(1000, 1), 1);
  assert.equal(await after(1000, 0), 0.875);
  await clock.advance(1000);
  root.write({ "proc/30/stat": statText({ state: "S", ticks: ran / 10 + 100 }), "proc/30/schedstat": schedText(ran + 1000, 0) });
  assert.equal(sampler.sample({ ours, passing: (pid) => pid === 30 }).load, 0.766, "one that is over in a moment is no load");
});
