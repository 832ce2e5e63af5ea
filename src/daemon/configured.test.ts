import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const BIN = fileURLToPath(new URL("../../bin", import.meta.url));

/** A directory of a node's own, and what runs there. */
class Place implements AsyncDisposable {
  readonly dir = mkdtempSync(join(tmpdir(), "tesela-"));
  readonly file = join(this.dir, "tesela.toml");
  readonly run = join(this.dir, "run");
  readonly env: NodeJS.ProcessEnv = {
    ...process.env,
    ...{ TESELA_CONFIG: this.file, TESELA_RUN: this.run, TESELA_STATE: join(this.dir, "state"), TESELA_LOG: this.dir },
    ...{ TESELA_DISCOVER: "off", TESELA_LEVEL: "" },
  };
  private readonly children: ChildProcess[] = [];

  start(program: string): { child: ChildProcess; said: () => string } {
    const child = spawn(join(BIN, program), [], { env: this.env, stdio: ["ignore", "ignore", "pipe"] });
    this.children.push(child);
    let text = "";
    child.stderr?.on("data", (part: Buffer) => {
      text += part;
    });
    return { child, said: () => text };
  }
  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.children) {
      child.kill("SIGKILL");
      if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    }
    rmSync(this.dir, { recursive: true });
  }
}

test("neither daemon starts with a wrong file, nor does anything before it says so", async () => {
  await using place = new Place();
  writeFileSync(place.file, "[guests]\nwieght = 3\n");
  for (const program of ["teselad", "tesela-engine"]) {
    const { child, said } = place.start(program);
    const [status] = await once(child, "close");
    assert.equal(status, 1, program);
    assert.ok(said().includes(`${place.file}: unknown key guests.wieght: want guests.weight`), said());
    assert.equal(existsSync(place.run), false, program);
  }
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  return port;
}

test("SIGHUP: the file is read again, and a wrong one is refused while the daemon goes on", async () => {
  await using place = new Place();
  const options = ["--name", "conf-test", "--address", "127.0.0.1", "--port", String(await freePort())];
  execFileSync(join(BIN, "tesela"), ["init", ...options], { env: place.env });
  const absent = place.start("teselad");
  assert.deepEqual(await once(absent.child, "close"), [1, null]);
  assert.match(absent.said(), /tesela\.toml: there is no such file or directory: make it, or unset TESELA_CONFIG/);
  writeFileSync(place.file, "");
  const { child, said } = place.start("teselad");
  const until = async (text: string): Promise<void> => {
    while (!said().includes(text)) {
      assert.ok(child.exitCode === null && child.signalCode === null, said());
      await new Promise((r) => setTimeout(r, 20));
    }
  };
  await until("teselad is ready");
  writeFileSync(place.file, "[balance]\nlevel = 1\n");
  child.kill("SIGHUP");
  await until("balance.level is 1: want true or false");
  writeFileSync(place.file, "[balance]\nlevel = false\n");
  child.kill("SIGHUP");
  await until("the configuration was read again");
  child.kill("SIGTERM");
  assert.deepEqual(await once(child, "exit"), [0, null]);
});
