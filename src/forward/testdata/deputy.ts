/** A program in two places for tests: its memory is a FakeMemory here, its kernel side a process of testdata/deputy.c. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { type CallContext, type DeputyArea, type ForwardPlan, outLengths, type Plan, planCall } from "../mod.ts";
import { FakeMemory } from "./fake-memory.ts";

export const noCompiler = spawnSync("gcc", ["--version"]).error ? "gcc is not installed" : false;

/** A program built once a test file, and a directory to work in. */
export class Workshop {
  readonly folder: string = mkdtempSync(join(tmpdir(), "tesela-forward-"));
  private readonly program: string = join(this.folder, "deputy");
  private readonly deputies: Deputy[] = [];

  constructor() {
    execFileSync("gcc", ["-O1", "-o", this.program, join(import.meta.dirname, "deputy.c")]);
  }

  deputy(areaSize?: number): Deputy {
    const d = new Deputy(this.program, this.folder, areaSize);
    this.deputies.push(d);
    return d;
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  close(): void {
    for (const d of this.deputies) d.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** What happened to a call that ended. */
export interface Outcome {
  readonly result: bigint;
  /** Calls of the deputy that it took. */
  readonly calls: number;
  readonly first: Plan;
}

export class Deputy {
  readonly mem = new FakeMemory();
  readonly area: DeputyArea;
  readonly ctx: CallContext;
  private readonly child: ChildProcess;
  private readonly input: Writable;
  private received: Buffer = Buffer.alloc(0);
  private waiting: (() => void) | null = null;

  constructor(program: string, cwd: string, size = 256 * 1024) {
    this.area = { base: 0x2000_0000n, size };
    this.child = spawn(program, [this.area.base.toString(16), size.toString(16)], { cwd, stdio: ["pipe", "pipe", "inherit"] });
    this.ctx = { pid: this.child.pid ?? 0, tid: this.child.pid ?? 0, reservedFds: [900, 901] };
    this.input = this.child.stdin as Writable;
    (this.child.stdout as Readable).on("data", (chunk: Buffer) => {
      this.received = Buffer.concat([this.received, chunk]);
      this.waiting?.();
    });
    this.child.once("exit", () => this.waiting?.());
  }

  get pid(): number {
    return this.ctx.pid;
  }

  /** A call of the program, as its registers hold it, from the plan to the result. */
  async call(nr: number, ...args: (bigint | number)[]): Promise<Outcome> {
    const registers = Array.from({ length: 6 }, (_, i) => BigInt.asUintN(64, BigInt(args[i] ?? 0)));
    const first = planCall(nr, registers, this.mem, this.area, this.ctx);
    let plan = first;
    let calls = 0;
    for (;;) {
      if (plan.kind === "answer") return { result: plan.result, calls, first };
      if (plan.kind !== "forward") throw new Error(`not forwarded: ${JSON.stringify(plan)}`);
      calls++;
      const { result, out } = await this.make(plan);
      const next = plan.finish(result, out, this.mem);
      if ("done" in next) return { result: next.done, calls, first };
      plan = next.again;
    }
  }

  /** The same for a call that has to work. */
  async ok(nr: number, ...args: (bigint | number)[]): Promise<number> {
    const { result } = await this.call(nr, ...args);
    if (result < 0n) throw new Error(`call ${nr} failed: ${result}`);
    return Number(result);
  }

  /** The program gets a child that ends with status 7; its PID. */
  async fork(): Promise<number> {
    this.input.write("F");
    return Number((await this.take(8)).readBigInt64LE(0));
  }

  private async make(plan: ForwardPlan): Promise<{ result: bigint; out: Buffer }> {
    const head = Buffer.alloc(1 + 56 + 4);
    head.write("C", 0);
    head.writeBigUInt64LE(BigInt(plan.nr), 1);
    for (const [i, a] of plan.args.entries()) head.writeBigUInt64LE(BigInt.asUintN(64, a), 9 + 8 * i);
    head.writeUInt32LE(plan.blob.length, 57);
    this.input.write(head);
    this.input.write(plan.blob);
    const result = (await this.take(8)).readBigInt64LE(0);
    const pieces: Buffer[] = [];
    const lengths = outLengths(plan.outs, result);
    for (const [i, { offset }] of plan.outs.entries()) {
      const length = lengths[i] ?? 0;
      const ask = Buffer.alloc(9);
      ask.write("R", 0);
      ask.writeUInt32LE(offset, 1);
      ask.writeUInt32LE(length, 5);
      this.input.write(ask);
      pieces.push(await this.take(length));
    }
    return { result, out: Buffer.concat(pieces) };
  }

  private async take(length: number): Promise<Buffer> {
    while (this.received.length < length) {
      const { exitCode, signalCode } = this.child;
      if (exitCode !== null || signalCode !== null) throw new Error(`the deputy ended: ${exitCode ?? signalCode}`);
      await new Promise<void>((resolve) => {
        this.waiting = resolve;
      });
    }
    const bytes = this.received.subarray(0, length);
    this.received = this.received.subarray(length);
    return bytes;
  }

  close(): void {
    this.child.kill("SIGKILL");
  }
}
