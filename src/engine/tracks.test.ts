import assert from "node:assert/strict";
import { test } from "node:test";
import { TeselaError } from "../base/mod.ts";
import { Track, Tracks } from "./tracks.ts";

const NO_PID = 2 ** 22 + 1;

test("a process is tracked once, and forgotten when told", () => {
  const tracks = new Tracks();
  assert.equal(tracks.find(process.pid), undefined);
  const track = tracks.of(process.pid);
  assert.equal(tracks.of(process.pid), track);
  assert.deepEqual(tracks.all(), [track]);
  tracks.forget(process.pid);
  assert.deepEqual(tracks.all(), []);
});

test("no such process", () => {
  assert.throws(
    () => new Tracks().of(NO_PID),
    (e) => e instanceof TeselaError && e.code === "E_NOENT_PID" && e.details.pid === NO_PID,
  );
});

test("another process with the same PID has no history", () => {
  const tracks = new Tracks();
  const track = tracks.of(process.pid);
  track.nmigs = 7;
  // As after an end and a start: the PID is the same, the start time is not.
  Object.defineProperty(track, "startTime", { value: track.startTime - 1n });
  assert.equal(tracks.find(process.pid), undefined);
  assert.equal(tracks.of(process.pid).nmigs, 0);
});

test("a move is remembered", () => {
  const track = new Track(1, 0n);
  track.cantmove = ["fork"];
  track.moved(2, { bytes: 5, freezeMs: 1 });
  assert.deepEqual([track.node, track.nmigs, track.cantmove, track.last?.bytes], [2, 1, [], 5]);
  track.cantmove = ["fork"];
  track.moved(null, { bytes: 6, freezeMs: 1 });
  assert.deepEqual([track.node, track.nmigs, track.cantmove], [null, 2, ["fork"]], "why it came home stays known");
});
