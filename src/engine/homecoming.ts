import { TeselaError, toTeselaError } from "../base/mod.ts";
import type { Image } from "../image/mod.ts";
import { ALPN } from "../io/mod.ts";
import { Inbox, receiveFrozen } from "./carry.ts";
import { waitForHome } from "./clocks.ts";
import { step } from "./faults.ts";
import { frameRegs, KEEP_STACK } from "./freeze.ts";
import { howItGoesOn } from "./home-landing.ts";
import type { HomeProcess } from "./home-process.ts";
import type { Landing } from "./landing.ts";
import { HomeSink } from "./home-sink.ts";
import type { Link } from "./links.ts";
import { all, CARRIED_AT_ONCE, type Moved, OPEN_MS, type Request } from "./mover.ts";
import { forget } from "./reclaim.ts";
import { fitHere } from "./own-xstate.ts";
import { freezeGuests, hostOf, stayAway, takeOver } from "./together.ts";

/** One of those that come home together. */
interface Comer {
  readonly home: HomeProcess;
  readonly sink: HomeSink;
  image: Image | null;
}

/** A process comes home, and with it those that share its memory: all of them or none. @throws TeselaError; they then run where they were */
export async function bringHome(request: Request): Promise<Moved> {
  const { mover, lead } = request;
  const { carry } = mover.parts;
  if (!lead.process?.host) throw new TeselaError("E_EXISTS", `process ${lead.pid} is at home`);
  const { home, link } = hostOf(lead.process, lead.pid);
  const start = performance.now();
  // Should it end meanwhile, the others are still those.
  const { group } = home;
  const stay = group?.stay ?? null;
  let comers: readonly Comer[] = [];
  const lines: Inbox[] = [];
  let homes: readonly HomeProcess[] = [home];
  using sinks = new DisposableStack();
  try {
    // Asked for first: a link that is cut must not stop the process.
    lines.push(await connect(request, link));
    homes = await takeOver(request, home);
    await step(carry.faults, "stand");
    await freezeGuests(link, homes, carry.stepMs);
    comers = homes.map((one) => ({ home: one, sink: sinks.use(new HomeSink(one, mover.hashes)), image: null }));
    const bytes = await receiveAll(request, link, lines, comers);
    await step(carry.faults, "land");
    if (group) group.stay = null;
    await land(request, comers);
    if (stay) forget(mover, stay);
    for (const { home: one } of comers) link.drop(one.ticket);
    for (const { channel } of lines) channel.close();
    const tracks = comers.map(({ home: one }) => mover.tracks.of(one.pid));
    return { tracks, bytes, freezeMs: performance.now() - start };
  } catch (e) {
    for (const { channel } of lines) channel.close(toTeselaError(e));
    if (group) group.stay = stay;
    for (const one of new Set([...homes, ...(group?.members ?? [])])) await stayAway(one, link, carry.answerMs, e);
    for (const { home: one, image } of comers) if (image && one.phase === "away") await leaveAgain(one, image);
    throw e;
  }
}

/** It had its memory back, and is to be without it again. */
async function leaveAgain(home: HomeProcess, image: Image): Promise<void> {
  try {
    await home.leaveMemory(image);
  } catch (e) {
    if (home.phase !== "gone") home.kill(`its memory at home could not be given up: ${toTeselaError(e).message}`);
  }
}

async function connect({ mover }: Request, link: Link): Promise<Inbox> {
  return new Inbox(await mover.parts.transport.connect(mover.peer(link.node), ALPN.BULK, { timeoutMs: OPEN_MS }));
}

/** Few at a time, and one after the other on each line: of hundreds at once each would wait for all the others. @returns bytes */
async function receiveAll(request: Request, link: Link, lines: Inbox[], comers: readonly Comer[]): Promise<number> {
  const left = [...comers];
  let bytes = 0;
  const work = async (line: Promise<Inbox>): Promise<void> => {
    try {
      const inbox = await line;
      for (let comer = left.shift(); comer; comer = left.shift()) bytes += await receive(request, inbox, comer);
    } catch (e) {
      // None of them comes then.
      left.length = 0;
      throw e;
    }
  };
  const another = async (): Promise<Inbox> => {
    const line = await connect(request, link);
    lines.push(line);
    return line;
  };
  const some = Array.from({ length: Math.min(CARRIED_AT_ONCE, comers.length) }, (_, i) => lines[i]);
  await all(some.map((line) => work(line ? Promise.resolve(line) : another())));
  return bytes;
}

async function receive({ mover, lead }: Request, inbox: Inbox, comer: Comer): Promise<number> {
  const { carry } = mover.parts;
  const { home, sink } = comer;
  // What all of them share comes with the first.
  const group = home.pid === lead.pid ? home.group : null;
  group?.prepare();
  inbox.channel.send("fetch", { ticket: home.ticket, round: home.round, ...(group && { objects: group.objects.map((o) => o.name) }) });
  await step(carry.faults, "reshape");
  const { image, bytes } = await receiveFrozen(inbox, sink, carry, (m) => {
    if (m.type === "file" || !group) throw new TeselaError("E_PROTOCOL", `a guest sent '${m.type}' home`);
    group.write(m.head.name, m.head.at, m.payload);
  });
  comer.image = image;
  return bytes;
}

async function land({ mover }: Request, comers: readonly Comer[]): Promise<void> {
  const landings: { readonly comer: Comer; readonly image: Image; readonly threads: Landing[] }[] = [];
  for (const comer of comers) {
    const { image } = comer;
    if (!image) throw new TeselaError("E_INTERNAL", "a process comes home without its image");
    landings.push({ comer, image, threads: await prepare(mover, comer, image) });
  }
  // From here on they outlive the engine as what they are now.
  for (const { comer, threads } of landings) {
    const { home } = comer;
    for (const l of threads) home.threads.get(l.tid)?.deputy.setFrame({ ...l, regs: frameRegs(l), altStack: KEEP_STACK });
    home.leader.deputy.setCommitted(false);
  }
  for (const [i, { comer, image, threads }] of landings.entries()) {
    const { home } = comer;
    try {
      await home.leave(threads, image.pending);
    } catch (e) {
      // Alone it stays where it is. With others that go on here already it cannot.
      if (i === 0) throw e;
      home.kill(`it could not go on at home: ${toTeselaError(e).message}`);
    }
  }
}

/** All that can fail, and does no harm should the process stay away after all. */
async function prepare(mover: Request["mover"], { home, sink }: Comer, image: Image): Promise<Landing[]> {
  const threads = image.threads.map((thread) => ({ thread, here: home.threads.get(thread.tid) }));
  if (threads.length !== home.threads.size) throw new TeselaError("E_PROTOCOL", "an image came home without all its threads");
  mover.tracks.of(home.pid).away = { all: image.cpuUsed, threads: new Map(image.threads.map((t) => [t.tid, t.cpuUsed])) };
  await waitForHome(image.clocks, home.pid, mover.parts.log);
  const landings: Landing[] = [];
  const { homeward } = home;
  for (const { thread, here } of threads) {
    if (!here) throw new TeselaError("E_PROTOCOL", `thread ${thread.tid} came home, and is not of this process`);
    await sink.land(here.deputy, thread);
    const pending = homeward?.thread === here ? [...thread.pending, homeward.info] : thread.pending;
    landings.push({ ...thread, xstate: fitHere(thread.xstate), ...(await howItGoesOn(here, thread)), pending });
  }
  return landings;
}
