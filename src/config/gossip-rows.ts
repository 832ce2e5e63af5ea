// tidy: table
import { DATAGRAM_BYTES, type GossipKnobs, SEAL_BYTES } from "../cluster/mod.ts";
import { bytes, count, millis, ratio, type Unsets } from "./row.ts";

const HOUR_MS = 3_600_000;
/** Below, a message has no room for a page of members. */
const LEAST_MESSAGE = 512;

/** The words and bounds of src/cluster/gossip-knobs.ts. */
export const GOSSIP_ROWS: Unsets<keyof GossipKnobs> = {
  probeMs: millis(
    50,
    HOUR_MS,
    "One member is probed each so often, all in turn: a dead one is suspected after probeMs * 1 to 2 on average; 2 / probeMs datagrams.",
    "More: less traffic. Less: the dead are found sooner.",
  ),
  probeTimeoutMs: millis(
    10,
    HOUR_MS,
    "Without an answer after this, others are asked to probe too; less than probeMs.",
    "More: slow round trips are borne. Less: lost datagrams are noticed sooner; it must stay above the slowest round trip.",
  ),
  indirect: count(
    0,
    64,
    "How many others are asked. With loss p a live one is suspected with about (1-(1-p)^2)^2 * (1-(1-p)^4)^indirect.",
    "More: fewer false suspicions. Less: less traffic when somebody does not answer.",
  ),
  suspicion: ratio(
    1,
    1000,
    "A suspect has max(1, log10 n) * suspicion * probeMs to say that it lives, when enough others suspect it too.",
    "More: fewer mistakes. Less: the dead leave the list sooner.",
  ),
  suspicionAlone: ratio(
    1,
    1000,
    "Without others who suspect it too, a suspect has 1 + (suspicionAlone - 1) * health times as long (Lifeguard).",
    "More: an ill node accuses fewer. Less: the dead are found sooner by one node alone.",
  ),
  checkers: ratio(
    0,
    1000,
    "Who hears of a suspicion probes it at once, so many of all on average.",
    "More: proof of life or confirmations come sooner. Less: less traffic for each suspicion.",
  ),
  healthMost: ratio(
    1,
    100,
    "While a node finds itself slow, its time limits are up to this many times longer.",
    "More: an overloaded node accuses fewer. Less: it finds the dead sooner all the same.",
  ),
  burst: count(
    1,
    1024,
    "While a fifth of the probes fail, up to this many members are probed at once: a part that is cut off knows in log2(n) + n / burst rounds.",
    "More: partitions are understood sooner. Less: less traffic meanwhile.",
  ),
  gossipMs: millis(
    10,
    HOUR_MS,
    "News goes out each so often; it has reached all after about log(n) / log(fanout + 1) rounds.",
    "More: less traffic while there is news. Less: news travels faster.",
  ),
  fanout: count(
    1,
    64,
    "To how many members news goes in each round: fanout / gossipMs datagrams.",
    "More: faster news. Less: less traffic.",
  ),
  retransmit: ratio(
    1,
    100,
    "Each node passes a piece of news on retransmit * ceil(log10(n + 1)) times.",
    "More: survives more loss. Less: costs less.",
  ),
  loadMs: millis(
    50,
    HOUR_MS,
    "The load of a node, and the freshest half of what it knows of others, go out each so often.",
    "More: less traffic. Less: fresher figures for the balancer.",
  ),
  loadFanout: count(
    0,
    64,
    "To how many members: loadFanout / loadMs datagrams.",
    "More: fresher figures, of more nodes. Less: less traffic.",
  ),
  loadMaxAgeMs: millis(
    1000,
    HOUR_MS,
    "Figures older than this are not used, nor passed on.",
    "More: more nodes are known in a large cluster. Less: what is known is true.",
  ),
  reviveMs: millis(
    50,
    HOUR_MS,
    "One member that is down is tried each so often: partitions heal after about this and some rounds of gossip.",
    "More: less traffic while somebody is down. Less: they heal sooner.",
  ),
  pageMs: millis(
    100,
    HOUR_MS,
    "A page of the member list is compared with a random member's each so often.",
    "More: less traffic. Less: what gossip has lost is mended sooner.",
  ),
  messageBytes: bytes(
    LEAST_MESSAGE,
    DATAGRAM_BYTES - SEAL_BYTES,
    "The longest message before it is sealed: messageBytes + seal <= 1400, what every Ethernet carries in one piece.",
    "More: more news in one datagram. Less: passes networks with smaller packets.",
  ),
};
