import { SEAL_BYTES } from "./sealed-link.ts";

/** The largest UDP datagram that every Ethernet carries in one piece, over IPv6 and with some room for tunnels (1500 - 40 - 8 - 52). */
export const DATAGRAM_BYTES = 1400;

/**
 * The knobs of gossip. n is the number of members that are not down; times are milliseconds. Cost of a node a second, sent and received alike, whatever n:
 * `2/probe` datagrams of probes, `fanout/gossip` while there is news, `loadFanout/load` of load, `1/revive` while somebody is down.
 */
export interface GossipKnobs {
  /** One member is probed each so often, all in turn. Dead ones are suspected after `probe` x 1 to 2 on average. Less: quicker, more traffic. */
  readonly probeMs: number;
  /** Without an answer after this, others are asked to probe too. More than the slowest round trip; less than `probeMs`. */
  readonly probeTimeoutMs: number;
  /** How many others are asked. With loss p on each way, a live one is suspected with about (1-(1-p)^2)^2 x (1-(1-p)^4)^indirect. */
  readonly indirect: number;
  /**
   * A suspect has max(1, log10 n) x suspicion x probe to say that it lives, when enough others suspect it too. More: fewer mistakes, the dead stay
   * longer on the list. All in all a dead one is down after at most probe x 2 + that.
   */
  readonly suspicion: number;
  /**
   * Without others who suspect it too, a suspect has 1 + (suspicionAlone - 1) x health times as long: who suspects alone may be the one that is ill
   * (Lifeguard). With c of `suspicion - 2` confirmations it is max - (max - min) x log(c + 1)/log(suspicion - 1).
   */
  readonly suspicionAlone: number;
  /** Who hears of a suspicion probes it at once, so many of all on average: brings confirmations, or the proof of life, sooner. */
  readonly checkers: number;
  /** While a node finds itself slow (nobody answers it, timers late) its time limits are up to this many times longer. */
  readonly healthMost: number;
  /**
   * While a fifth of the probes or more fail, up to this many members are probed at once, twice as many each round; half as many each round
   * otherwise. A small part that is cut off learns in about log2(n) + n/burst rounds who is not with it, where one at a time would take n.
   */
  readonly burst: number;
  /** News goes out each so often, to so many members chosen anew; it has reached all after about log(n)/log(fanout + 1) rounds. */
  readonly gossipMs: number;
  readonly fanout: number;
  /** Each node passes a piece of news on so many times ceil(log10(n + 1)). More: survives more loss, costs more. */
  readonly retransmit: number;
  /** The load entry and the freshest half of the vector go out each so often, to so many. */
  readonly loadMs: number;
  readonly loadFanout: number;
  /** Entries older than this are not used, nor passed on. */
  readonly loadMaxAgeMs: number;
  /** One member that is down is tried each so often: partitions heal after about this and some rounds of gossip. */
  readonly reviveMs: number;
  /** A page of the member list is compared with a random member's each so often: mends what gossip lost. */
  readonly pageMs: number;
  /** Longest message, before it is sealed. All that is longer is a rotating or random part of it. */
  readonly messageBytes: number;
}

/** Machines on one network. A dead node is down after at most 2.5 s in clusters of up to ten. */
export const LAN: GossipKnobs = {
  probeMs: 500,
  probeTimeoutMs: 250,
  indirect: 3,
  suspicion: 3,
  suspicionAlone: 1.5,
  checkers: 3,
  healthMost: 3,
  burst: 32,
  gossipMs: 200,
  fanout: 3,
  retransmit: 4,
  loadMs: 1000,
  loadFanout: 3,
  loadMaxAgeMs: 10_000,
  reviveMs: 1000,
  pageMs: 5000,
  messageBytes: DATAGRAM_BYTES - SEAL_BYTES,
};

/** Hosts on one machine: quicker, since nothing is lost on the way. */
export const LOCAL: GossipKnobs = { ...LAN, probeMs: 300, probeTimeoutMs: 150, gossipMs: 100, reviveMs: 500 };

export const PRESETS = { lan: LAN, local: LOCAL } as const;
