/** For tests of other things: peers and services that know nothing of who belongs to the cluster. */
import { TeselaError } from "../base/mod.ts";
import type { BelongingService } from "./control.ts";
import type { PeerControl } from "./peer.ts";

const nobody = (): never => {
  throw new TeselaError("E_MISSING", "not in this test");
};

export const strangeToAll: Pick<PeerControl, "node" | "record" | "renew" | "leave" | "news"> = {
  node: 0,
  record: () => Promise.resolve([]),
  renew: () => Promise.reject(new TeselaError("E_MISSING", "not in this test")),
  leave: () => Promise.reject(new TeselaError("E_MISSING", "not in this test")),
  news: () => undefined,
};

export const noBelonging: BelongingService = {
  record: () => [],
  news: () => undefined,
  keys: () => ({ key: null }),
  renew: () => Promise.reject(new TeselaError("E_MISSING", "not in this test")),
  leave: nobody,
};
