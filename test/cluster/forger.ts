/**
 * Run on a host: speaks by gossip with a key that it has from somewhere, in the name of a node.
 *
 *     node forger.ts KEYFILE AS ADDRESS PORT NODE SECONDS
 *
 * Prints the number of datagrams that came back. Listens on the gossip port, where a node of that address is answered: its teselad is at rest.
 */
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { nodeId } from "../../src/base/mod.ts";
import { parseGossipKeys, SealedLink } from "../../src/cluster/mod.ts";
import { type Datagrams, realClock, systemRandom, UdpDatagrams } from "../../src/io/mod.ts";

const PAUSE_MS = 100;

async function main(file: string, as: number, address: string, port: number, node: number, seconds: number): Promise<number> {
  const keys = parseGossipKeys(readFileSync(file, "utf8"), file);
  const datagrams = await UdpDatagrams.open({ address: "0.0.0.0", port });
  let answers = 0;
  const counted: Datagrams = {
    address: datagrams.address,
    send: (to, bytes) => datagrams.send(to, bytes),
    onDatagram: (handler) =>
      datagrams.onDatagram((bytes, from) => {
        answers++;
        handler(bytes, from);
      }),
    close: () => datagrams.close(),
    [Symbol.asyncDispose]: () => datagrams.close(),
  };
  const options = { self: nodeId(as), keys, clock: realClock, random: systemRandom };
  const link = new SealedLink({ ...options, datagrams: counted, answerAt: (_, from) => from });
  link.onMessage(() => undefined);
  const end = performance.now() + seconds * 1000;
  while (performance.now() < end) {
    link.send({ id: nodeId(node), address, port }, Buffer.from("not a message"));
    await sleep(PAUSE_MS);
  }
  await datagrams.close();
  return answers;
}

const [file = "", as = "", address = "", port = "", node = "", seconds = ""] = process.argv.slice(2);
if (import.meta.main) console.log(await main(file, Number(as), address, Number(port), Number(node), Number(seconds)));
