import assert from "node:assert/strict";
import { test } from "node:test";
import type { EngineRow } from "./shapes.ts";
import { GuestTerms, NO_TERMS, type TermsOf, termsAsk } from "./terms.ts";

const guest = (home: number, pid: number): EngineRow => ({
  ...{ pid, cpid: `${home}:${pid}`, home, node: 3, nmigs: 1, state: "R", cpu: 1, rss: 0, user: "ann", lock: false, cantmove: [] },
  ...{ command: "x", role: "guest" },
});
const SAID: TermsOf = { "7": { lock: true, hints: { job: "io", mask: "!2" }, pace: { seconds: 3, keep: 4 } } };

test("each home is asked about its own, anew when one has come or after a while", async () => {
  const asked: [number, readonly number[]][] = [];
  const terms = new GuestTerms((home, pids) => {
    asked.push([home, pids]);
    return Promise.resolve(home === 1 ? SAID : {});
  });
  const guests = [guest(1, 7), guest(1, 8), guest(2, 7)];
  assert.equal(terms.of("1:7"), NO_TERMS);
  await terms.keep(guests, 0);
  assert.deepEqual(terms.of("1:7"), SAID["7"]);
  assert.deepEqual([terms.of("1:8"), terms.of("2:7")], [NO_TERMS, NO_TERMS]);
  await terms.keep(guests, 1000);
  assert.deepEqual(asked, [
    [1, [7, 8]],
    [2, [7]],
  ]);
  await terms.keep([...guests, guest(2, 9)], 1500);
  assert.deepEqual(asked.at(-1), [2, [7, 9]]);
  await terms.keep([guest(1, 7)], 2500);
  assert.deepEqual(asked.at(-1), [1, [7]]);
  await terms.keep([], 2600);
  assert.equal(terms.of("1:7"), NO_TERMS, "its PID may be another's when it comes again");
});

test("what a home said holds while it does not answer; what makes no sense says nothing", async () => {
  let answer: () => Promise<TermsOf> = () => Promise.resolve(SAID);
  const terms = new GuestTerms(() => answer());
  await terms.keep([guest(1, 7)], 0);
  answer = () => Promise.reject(new Error("gone"));
  await terms.keep([guest(1, 7)], 5000);
  assert.equal(terms.of("1:7").lock, true);
  const odd = { "7": { lock: 1, hints: { job: "gpu" }, pace: { seconds: -1, keep: 9 } } } as unknown as TermsOf;
  answer = () => Promise.resolve(odd);
  await terms.keep([guest(1, 7)], 10_000);
  assert.deepEqual(terms.of("1:7"), NO_TERMS);
});

test("the question is checked", () => {
  assert.deepEqual(termsAsk({ pids: [1, 2] }), [1, 2]);
  for (const bad of [null, {}, { pids: "1" }, { pids: [0] }, { pids: ["1"] }]) assert.equal(termsAsk(bad), null);
});
