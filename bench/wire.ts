/**
 * What the transport costs, against plain TCP in the same run: round trip of small messages, rate of 1 MiB frames, and 1 GiB from one
 * worker thread to another through the listener of the main thread. Two processes on the loopback device; TCP is node:net at its
 * best, reading into one buffer, so the ratios say what TLS and frames add.
 *
 *     node bench/wire.ts [--json FILE] [--mib N] [--rounds N]
 */
import { type ChildProcess, fork } from "node:child_process";
import { writeFileSync } from "node:fs";
import { connect as connectTcp, createServer, type Socket } from "node:net";
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { isMainThread, type MessagePort, parentPort, Worker, workerData } from "node:worker_threads";
import { KiB, MiB, nodeId } from "../src/base/mod.ts";
import { createCluster, issueNode } from "../src/cluster/mod.ts";
import {
  ALPN,
  acceptInThread,
  type Channel,
  type Credentials,
  channelOver,
  channels,
  PortDoor,
  readDirectly,
  TlsTransport,
  threads,
} from "../src/io/mod.ts";
import { descriptors } from "../src/sys/mod.ts";

const VERSION = "bench";
const SMALL = 100;
const CHUNK = 1 * MiB;
const LOOPBACK = "127.0.0.1";

interface ServerPorts {
  readonly tls: number;
  readonly tcp: number;
  readonly tcpBulk: number;
}
interface BulkResult {
  readonly ms: number;
  /** CPU seconds of this thread. */
  readonly cpu: number;
}

const cpuOf = (): number => {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1e6;
};

/** Counts what comes and answers each `bytes` with one byte. Reads into one buffer for good: the fastest that Node's TCP can do. */
function sinkTcp(socket: Socket, bytes: number): void {
  const buffer = Buffer.alloc(256 * KiB);
  let got = 0;
  const took = (n: number): boolean => {
    if (n <= SMALL && got === 0) socket.write(Buffer.from(buffer.subarray(0, n)));
    else got += n;
    if (got >= bytes) {
      got = 0;
      socket.write(Buffer.of(1));
    }
    return true;
  };
  socket.on("error", () => socket.destroy());
  if (!readDirectly(socket, () => buffer, took)) throw new Error("this Node.js cannot read into a given buffer");
  socket.resume();
}

/** The same for frames; a small one is sent back. */
function sinkFrames(channel: Channel, bytes: number): void {
  let got = 0;
  channel.onMessage((m) => {
    const n = m.payload.length;
    if (n <= SMALL) channel.send("probe", null, m.payload);
    else got += n;
    channel.release(m.payload);
    if (got < bytes) return;
    got = 0;
    channel.send("probe", null, Buffer.of(1));
  });
}

interface Source {
  /** False: full. */
  write(chunk: Buffer): boolean;
  drained(): Promise<unknown>;
  /** Calls back for what comes. */
  listen(got: () => void): void;
}

function tcpSource(socket: Socket): Source {
  let got = (): void => {};
  socket.on("data", () => got());
  return {
    write: (chunk) => socket.write(chunk),
    drained: () => new Promise((resolve) => socket.once("drain", resolve)),
    listen(f) {
      got = f;
    },
  };
}

function frameSource(channel: Channel): Source {
  let got = (): void => {};
  channel.onMessage(() => got());
  return {
    write: (chunk) => channel.send("probe", null, chunk),
    drained: () => channel.drained(),
    listen(f) {
      got = f;
    },
  };
}

/** Writes `bytes` and waits for the byte back. */
async function pour(to: Source, bytes: number): Promise<BulkResult> {
  const chunk = Buffer.alloc(CHUNK, 7);
  const done = new Promise<void>((resolve) => to.listen(resolve));
  const cpu = cpuOf();
  const start = performance.now();
  for (let sent = 0; sent < bytes; sent += CHUNK) if (!to.write(chunk)) await to.drained();
  await done;
  return { ms: performance.now() - start, cpu: cpuOf() - cpu };
}

// ---------------------------------------------------------------- the server process

async function serve(credentials: Credentials, bytes: number): Promise<void> {
  const door = new PortDoor(descriptors);
  const worker = new Worker(new URL(import.meta.url), {
    workerData: { role: "bulk-server", credentials, bytes, port: door.port },
    transferList: [door.port],
  });
  const transport = new TlsTransport({ credentials, version: VERSION, host: LOOPBACK, port: 0 });
  const listener = await transport.listen({
    [ALPN.ENGINE]: channels((channel) => sinkFrames(channel, bytes)),
    [ALPN.BULK]: threads(() => door),
  });
  const echo = createServer({ noDelay: true }, (s) => sinkTcp(s, bytes));
  await new Promise<void>((resolve) => echo.listen(0, LOOPBACK, resolve));
  const tcpBulk = await new Promise<number>((resolve) => worker.once("message", resolve));
  worker.on("error", (e) => {
    throw e;
  });
  const ports: ServerPorts = { tls: listener.port, tcp: (echo.address() as { port: number }).port, tcpBulk };
  process.send?.(ports);
  process.on("message", (m) => {
    if (m === "cpu") process.send?.(cpuOf());
  });
}

async function bulkServer(data: { credentials: Credentials; bytes: number; port: MessagePort }): Promise<void> {
  const { credentials, bytes, port } = data;
  acceptInThread(port, { credentials, version: VERSION, alpn: [ALPN.BULK] }, (stream) => sinkFrames(channelOver(stream), bytes));
  const plain = createServer({ noDelay: true }, (s) => sinkTcp(s, bytes));
  await new Promise<void>((resolve) => plain.listen(0, LOOPBACK, resolve));
  parentPort?.postMessage((plain.address() as { port: number }).port);
}

async function bulkClient(data: { credentials: Credentials; bytes: number; ports: ServerPorts; kind: "tcp" | "tls" }): Promise<void> {
  const { credentials, bytes, ports, kind } = data;
  let source: Source;
  let end: () => void;
  if (kind === "tcp") {
    const socket = connectTcp({ port: ports.tcpBulk, host: LOOPBACK, noDelay: true });
    await new Promise<void>((resolve) => socket.once("connect", resolve));
    source = tcpSource(socket);
    end = () => socket.destroy();
  } else {
    const transport = new TlsTransport({ credentials, version: VERSION });
    const channel = await transport.connect({ node: nodeId(1), address: LOOPBACK, port: ports.tls }, ALPN.BULK);
    source = frameSource(channel);
    end = () => channel.close();
  }
  await pour(source, bytes);
  parentPort?.postMessage(await pour(source, bytes));
  end();
}

// ---------------------------------------------------------------- the client process

/** Medians over rounds of `count` round trips each, the kinds in turn, so that a noisy moment hits both. */
async function roundTrips(kinds: Record<string, () => Promise<void>>, rounds: number, count: number): Promise<Record<string, number>> {
  const times: Record<string, number[]> = {};
  for (let round = 0; round < rounds; round++) {
    for (const [kind, trip] of Object.entries(kinds)) {
      for (let i = 0; i < count / 10; i++) await trip();
      for (let i = 0; i < count; i++) {
        const start = process.hrtime.bigint();
        await trip();
        times[kind] ??= [];
        times[kind].push(Number(process.hrtime.bigint() - start) / 1e3);
      }
    }
  }
  return Object.fromEntries(Object.entries(times).map(([kind, t]) => [kind, t.sort((a, b) => a - b)[t.length >> 1] as number]));
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { json: { type: "string" }, mib: { type: "string", default: "1024" }, rounds: { type: "string", default: "5" } },
  });
  const bytes = Number(values.mib) * MiB;
  const rounds = Number(values.rounds);
  const ca = await createCluster("bench");
  const [server, client] = [await issueNode(ca, nodeId(1), "server"), await issueNode(ca, nodeId(2), "client")];
  const child = fork(new URL(import.meta.url), [], { serialization: "advanced" });
  try {
    child.send({ credentials: server, bytes });
    const ports = await new Promise<ServerPorts>((resolve) => child.once("message", (m) => resolve(m as ServerPorts)));
    const results = await measure(child, client, ports, bytes, rounds);
    console.table(results);
    if (values.json !== undefined)
      writeFileSync(
        values.json,
        `${JSON.stringify({ bench: "wire", cpus: cpus().length, cpu: cpus()[0]?.model, mib: Number(values.mib), results }, null, 2)}\n`,
      );
  } finally {
    child.kill();
  }
}

type Row = Record<string, number | string>;

async function measure(child: ChildProcess, client: Credentials, ports: ServerPorts, bytes: number, rounds: number): Promise<Row[]> {
  const transport = new TlsTransport({ credentials: client, version: VERSION });
  const channel = await transport.connect({ node: nodeId(1), address: LOOPBACK, port: ports.tls }, ALPN.ENGINE);
  const tcp = connectTcp({ port: ports.tcp, host: LOOPBACK, noDelay: true });
  await new Promise<void>((resolve) => tcp.once("connect", resolve));

  const kinds = { tcp: tcpSource(tcp), tls: frameSource(channel) };
  const small = Buffer.alloc(SMALL, 1);
  const trip = (to: Source) => () =>
    new Promise<void>((resolve) => {
      to.listen(resolve);
      to.write(small);
    });
  const rtt = await roundTrips({ tcp: trip(kinds.tcp), tls: trip(kinds.tls) }, rounds, 2000);

  const rates: Record<string, number[]> = {};
  const rate = (kind: string, ms: number) => {
    rates[kind] ??= [];
    rates[kind].push(bytes / ms / 1e6);
  };
  const mains: number[] = [];
  const threadCpu: Record<string, number> = {};
  for (let round = 0; round < rounds; round++) {
    for (const [kind, source] of Object.entries(kinds)) rate(`${kind}, main to main`, (await pour(source, bytes)).ms);
    for (const kind of ["tcp", "tls"] as const) {
      const before = cpuOf() + (await serverCpu(child));
      const worker = new Worker(new URL(import.meta.url), { workerData: { role: "bulk-client", credentials: client, bytes, ports, kind } });
      const exited = new Promise((resolve) => worker.once("exit", resolve));
      const result = await new Promise<BulkResult>((resolve, reject) => worker.once("message", resolve).once("error", reject));
      await exited;
      rate(`${kind}, thread to thread`, result.ms);
      threadCpu[kind] = result.cpu;
      if (kind === "tls") mains.push(cpuOf() + (await serverCpu(child)) - before);
    }
  }
  channel.close();
  tcp.destroy();
  const median = (list: number[] = []): number => list.sort((a, b) => a - b)[list.length >> 1] ?? Number.NaN;
  const round2 = (n: number): number => Math.round(n * 100) / 100;
  const rateOf = (kind: string): number => round2(median(rates[kind]));
  return [
    row("round trip, 100 bytes", "us", rtt["tcp"] as number, rtt["tls"] as number, "<= 1.3"),
    row("1 GiB in 1 MiB pieces, main to main", "GB/s", rateOf("tcp, main to main"), rateOf("tls, main to main"), ""),
    row("the same, thread to thread", "GB/s", rateOf("tcp, thread to thread"), rateOf("tls, thread to thread"), ""),
    { what: "CPU of both main threads meanwhile, set-up included", unit: "s", tls: round2(median(mains)) },
    { what: "CPU of the sending thread", unit: "s", tcp: round2(threadCpu["tcp"] as number), tls: round2(threadCpu["tls"] as number) },
  ];
}

function row(what: string, unit: string, tcp: number, tls: number, target: string): Row {
  const round2 = (n: number): number => Math.round(n * 100) / 100;
  return { what, unit, tcp: round2(tcp), tls: round2(tls), ratio: round2(unit === "us" ? tls / tcp : tcp / tls), target };
}

function serverCpu(child: ChildProcess): Promise<number> {
  const answer = new Promise<number>((resolve) => child.once("message", (m) => resolve(m as number)));
  child.send("cpu");
  return answer;
}

if (!isMainThread) {
  if (workerData.role === "bulk-server") await bulkServer(workerData);
  else await bulkClient(workerData);
} else if (process.send !== undefined) {
  process.once("message", (m) => {
    const { credentials, bytes } = m as { credentials: Credentials; bytes: number };
    void serve(credentials, bytes);
  });
} else await main();
