/** `programs/tcp.c` as Node.js does it, with node:net and nothing else; the same words, the same protocol. */
import { connect, createServer, type Socket } from "node:net";

const PIECE = Buffer.alloc(256 * 1024, "x");
const HEAD = 24;

function put(socket: Socket, bytes: number, then: () => void): void {
  let left = bytes;
  const more = (): void => {
    while (left > 0) {
      const piece = left < PIECE.length ? PIECE.subarray(0, left) : PIECE;
      left -= piece.length;
      if (!socket.write(piece) && left > 0) return void socket.once("drain", more);
    }
    then();
  };
  more();
}

function serve(port: number): void {
  const server = createServer({ noDelay: true }, (socket) => {
    let there = 0;
    let back = 0;
    let got = 0;
    socket.on("error", () => socket.destroy());
    socket.on("data", (chunk) => {
      let { length } = chunk;
      if (there === 0) {
        [there, back] = [Number(chunk.readBigUInt64LE(0)), Number(chunk.readBigUInt64LE(8))];
        length -= HEAD;
      }
      for (got += length; got >= there; got -= there) put(socket, back, () => {});
    });
  });
  server.listen(port, () => process.stdout.write("ready\n"));
}

async function reach(host: string, port: number, there: number, back: number, count: number): Promise<Socket> {
  const socket = connect({ host, port, noDelay: true });
  await new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("error", reject));
  socket.write(Buffer.from(BigUint64Array.of(BigInt(there), BigInt(back), BigInt(count)).buffer));
  return socket;
}

/** Sends `there` bytes; calls back once `back` bytes have come. */
function trips(socket: Socket, back: number): (there: number) => Promise<void> {
  let got = 0;
  let done = (): void => {};
  socket.on("data", (chunk) => {
    got += chunk.length;
    if (got < back) return;
    got -= back;
    done();
  });
  return (there) =>
    new Promise<void>((resolve) => {
      done = resolve;
      put(socket, there, () => {});
    });
}

const [what, ...args] = process.argv.slice(2);
if (what === "serve") serve(Number(args[0]));
else {
  const [host = "", port = 0, there = 0, back = 1, count = 1] = args.map((a, i) => (i === 0 ? a : Number(a))) as [string, ...number[]];
  const socket = await reach(host, port, there, back, count);
  const trip = trips(socket, back);
  const took: number[] = [];
  for (let i = 0; i < count; i++) {
    const start = performance.now();
    await trip(there);
    took.push(performance.now() - start);
  }
  took.sort((a, b) => a - b);
  const median = took[took.length >> 1] ?? Number.NaN;
  process.stdout.write(`${(what === "pour" ? median : median * 1000).toFixed(3)}\n`);
  socket.destroy();
}
