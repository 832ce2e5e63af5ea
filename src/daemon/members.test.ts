import assert from "node:assert/strict";
import { test } from "node:test";
import { Log, TeselaError } from "../base/mod.ts";
import { Members } from "./members.ts";
import { strangeToAll } from "./test-peers.ts";
import type { NodeStatus, PeerControl } from "./peer.ts";

const quiet = new Log({ level: "error" });
const status: NodeStatus = { cpus: 2, speed: 10_000, load: 0.5, memTotal: 8, memFree: 4, guests: 1, away: 0, flags: [] };
const times = { intervalMs: 10, answerMs: 30, dialMs: 30 };
const peer = (id: number, port = 4660) => ({ id, name: `h${id}`, address: "10.0.0.1", port });

async function until(what: string, yes: () => boolean): Promise<void> {
  const end = Date.now() + 5000;
  while (!yes()) {
    if (Date.now() > end) assert.fail(`never: ${what}`);
    await new Promise((r) => setTimeout(r, 3));
  }
}

test("a peer is up while it answers, down when it is silent or gone, and up again", async () => {
  let mood: "answers" | "silent" | "refuses" = "refuses";
  let open = 0;
  const dial = (): Promise<PeerControl> => {
    if (mood !== "answers") return Promise.reject(new TeselaError("E_NODE_DOWN", "refused"));
    open++;
    return Promise.resolve({
      ...strangeToAll,
      status: (signal) =>
        mood === "answers"
          ? Promise.resolve(status)
          : new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true })),
      processes: () => Promise.resolve([]),
      migrate: () => Promise.reject(new TeselaError("E_INTERNAL", "not here")),
      question: () => Promise.reject(new TeselaError("E_INTERNAL", "not here")),
      close: () => {
        open--;
      },
    });
  };
  await using members = new Members(1, dial, quiet, times);
  members.set([peer(1), peer(2)]);
  assert.deepEqual(
    members.list().map((m) => [m.peer.id, m.state, m.status]),
    [[2, "down", null]],
  );
  assert.throws(() => members.control(2), /node 2 \(h2, 10.0.0.1\) is down/);
  mood = "answers";
  await until("up", () => members.find("h2")?.state === "up");
  assert.equal(members.list()[0]?.status, status);
  assert.equal(members.controls().length, 1);
  mood = "silent";
  await until("down by silence", () => members.find("2")?.state === "down");
  assert.equal(open, 0, "the silent stream is closed");
  mood = "answers";
  await until("up again", () => members.find("2")?.state === "up");
});

test("membership follows the list: who left is let go, who moved is dialled anew", async () => {
  const dialled: string[] = [];
  let open = 0;
  const dial = (p: { id: number; port: number }): Promise<PeerControl> => {
    dialled.push(`${p.id}:${p.port}`);
    open++;
    return Promise.resolve({
      ...strangeToAll,
      status: () => Promise.resolve(status),
      processes: () => Promise.resolve([]),
      migrate: () => Promise.reject(new TeselaError("E_INTERNAL", "not here")),
      question: () => Promise.reject(new TeselaError("E_INTERNAL", "not here")),
      close: () => {
        open--;
      },
    });
  };
  const members = new Members(1, dial, quiet, times);
  members.set([peer(2), peer(3)]);
  await until("both up", () => members.controls().length === 2);
  members.set([peer(2, 5000), peer(3)]);
  await until("both up", () => members.controls().length === 2);
  assert.deepEqual(dialled, ["2:4660", "3:4660", "2:5000"]);
  members.set([peer(3)]);
  assert.throws(() => members.control(2), /no node 2/);
  await members[Symbol.asyncDispose]();
  await until("all closed", () => open === 0);
});
