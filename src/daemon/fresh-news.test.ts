import assert from "node:assert/strict";
import { test } from "node:test";
import { TeselaError } from "../base/mod.ts";
import { FreshNews } from "./fresh-news.ts";
import type { NodeStatus } from "./peer.ts";

const status = (memFree: number): NodeStatus => ({
  ...{ cpus: 1, speed: 10_000, load: 0, memTotal: 1000, memFree, guests: 0, away: 0, flags: [] },
});

test("what a node answers counts until gossip knows later", async () => {
  let now = 1000;
  const news = new FreshNews(() => now);
  const asked: number[] = [];
  const node = (id: number, memTotal: number, free: number | null) => ({
    id,
    memTotal,
    control: {
      status: () => {
        asked.push(id);
        return free === null ? Promise.reject(new TeselaError("E_LINK", "cut")) : Promise.resolve(status(free));
      },
    },
  });
  assert.equal(await news.ask([node(2, 1000, 700), node(3, 1000, null)]), true);
  assert.equal(news.of(2, 900)?.status.memFree, 700);
  assert.equal(news.of(3, 0), null);
  assert.equal(news.of(2, 1000), null, "gossip is as new");
  assert.equal(await news.ask([node(2, 1000, 600)]), false, "not at once again");
  now += 1000;
  asked.length = 0;
  await news.ask(Array.from({ length: 20 }, (_, i) => node(10 + i, i, 1)));
  assert.deepEqual(asked, [29, 28, 27, 26, 25, 24, 23, 22], "those with most memory");
});
