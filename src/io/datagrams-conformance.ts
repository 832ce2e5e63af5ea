/** What every Datagrams does: one suite for both implementations, run from their own test file. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { TeselaError } from "../base/mod.ts";
import { type Datagrams, type Endpoint, MAX_DATAGRAM } from "./datagrams.ts";

/** A network, made anew for each test, on which nothing is lost. */
export interface DatagramWorld extends AsyncDisposable {
  open(port?: number): Promise<Datagrams>;
  /** Lets what is under way arrive. */
  settle(): Promise<void>;
}

interface Got {
  readonly text: string;
  readonly from: Endpoint;
}

function collect(end: Datagrams): Got[] {
  const got: Got[] = [];
  end.onDatagram((bytes, from) => got.push({ text: bytes.toString("latin1"), from }));
  return got;
}

export function datagramsConform(name: string, world: () => DatagramWorld): void {
  test(`${name}: datagrams arrive whole, say whence, and are answered there`, async () => {
    await using w = world();
    await using a = await w.open();
    await using b = await w.open();
    const atA = collect(a);
    b.onDatagram((bytes, from) => b.send(from, Buffer.concat([Buffer.from("re "), bytes])));
    a.send(b.address, Buffer.from("hello"));
    await w.settle();
    assert.deepEqual(atA, [{ text: "re hello", from: b.address }]);
    assert.notEqual(a.address.port, b.address.port);
  });

  test(`${name}: empty ones and long ones are datagrams too, too long ones are lost`, async () => {
    await using w = world();
    await using a = await w.open();
    await using b = await w.open();
    const atB = collect(b);
    a.send(b.address, Buffer.alloc(0));
    await w.settle();
    a.send(b.address, Buffer.alloc(MAX_DATAGRAM + 1));
    a.send(b.address, Buffer.alloc(20_000, "x"));
    await w.settle();
    assert.deepEqual(
      atB.map((g) => g.text.length),
      [0, 20_000],
    );
  });

  test(`${name}: the sender may use its bytes again, the receiver may keep its own`, async () => {
    await using w = world();
    await using a = await w.open();
    await using b = await w.open();
    const kept: Buffer[] = [];
    b.onDatagram((bytes) => kept.push(bytes));
    const buffer = Buffer.from("first.");
    a.send(b.address, buffer);
    buffer.write("second");
    a.send(b.address, buffer);
    buffer.fill(0);
    await w.settle();
    assert.deepEqual(kept.map(String).sort(), ["first.", "second"]);
  });

  test(`${name}: nobody is told when nobody listens; a closed end neither sends nor hears`, async () => {
    await using w = world();
    await using a = await w.open();
    const b = await w.open();
    const atA = collect(a);
    const atB = collect(b);
    await b.close();
    await b.close();
    a.send(b.address, Buffer.from("x"));
    b.send(a.address, Buffer.from("y"));
    await w.settle();
    assert.deepEqual([atA, atB], [[], []]);
    // An ICMP refusal of the first must not keep the next from leaving.
    await using c = await w.open();
    const atC = collect(c);
    a.send(c.address, Buffer.from("z"));
    await w.settle();
    assert.deepEqual(
      atC.map((g) => g.text),
      ["z"],
    );
  });

  test(`${name}: a place is one end's at a time`, async () => {
    await using w = world();
    const a = await w.open();
    await assert.rejects(w.open(a.address.port), (e) => e instanceof TeselaError && e.code === "E_CONFIG");
    await a.close();
    await using again = await w.open(a.address.port);
    assert.deepEqual(again.address, a.address);
  });
}
