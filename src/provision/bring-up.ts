import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { TeselaError } from "../base/mod.ts";
import { packageFiles } from "./package-files.ts";

export interface BringUp {
  /** Of this package. */
  readonly root: string;
  readonly version: string;
  /** Where it goes on the other machine. */
  readonly dir: string;
  /** The command that runs another on a host: its first words; host and command follow. */
  readonly ssh: readonly string[];
  /** A token for the machine, made when it is needed. */
  readonly token: () => string;
  /** What is going on, for people. */
  readonly say: (text: string) => void;
}

export interface Brought {
  readonly host: string;
  readonly id: number;
  readonly name: string;
  readonly address: string;
}

/** As much of what a remote command said on stderr is told. */
const MAX_SAID = 2000;

/**
 * Makes a machine a node by way of ssh: copies the package there unless that version is there already, joins, and starts the daemons.
 * @throws E_LINK when ssh fails, E_MISSING when the machine lacks something, and what `tesela join` said there
 */
export async function bringUp(host: string, o: BringUp): Promise<Brought> {
  if (!/^[^\s-]\S*$/.test(host)) throw new TeselaError("E_USAGE", `host '${host}': want a name, an address or USER@HOST`);
  const dir = quote(o.dir);
  const look = `uname -m; id -u; cat ${dir}/package.json 2>/dev/null | sed -n 's/^  "version": "\\(.*\\)",/\\1/p'`;
  const [machine, uid, version] = (await remote(host, o, look)).split("\n");
  if (machine !== "x86_64") throw new TeselaError("E_MISSING", `${host} is a ${machine} machine: Tesela runs on x86_64`);
  if (uid !== "0") throw new TeselaError("E_PERM", `${host}: user ${uid} is not root there: name a user who is, as root@${host}`);
  if (version === o.version) o.say(`${host}: version ${version} is there`);
  else {
    o.say(`${host}: copying version ${o.version} to ${o.dir}`);
    await copy(host, o, `rm -rf ${dir}.new && mkdir -p ${dir}.new && tar -xzf - -C ${dir}.new && rm -rf ${dir} && mv ${dir}.new ${dir}`);
  }
  o.say(`${host}: joining`);
  const node = await join(host, o);
  o.say(`${host}: starting the daemons`);
  await remote(host, o, startScript(dir));
  return { host, ...node };
}

async function join(host: string, o: BringUp): Promise<Omit<Brought, "host">> {
  const said = await remote(host, o, `${quote(o.dir)}/bin/tesela join --token - --json || :`, `${o.token()}\n`);
  let answer: { readonly [name: string]: unknown };
  try {
    answer = JSON.parse(said) as typeof answer;
  } catch (cause) {
    throw new TeselaError("E_PROTOCOL", `${host}: 'tesela join' said '${said.slice(0, 200)}'`, {}, { cause });
  }
  if (typeof answer["error"] === "string")
    throw TeselaError.from({ ...answer, error: answer["error"], message: `${host}: ${String(answer["message"])}` });
  return { id: Number(answer["id"]), name: String(answer["name"]), address: String(answer["address"]) };
}

/** By the machine's own service manager where it knows the daemons, else as processes of their own, with links to the commands. */
function startScript(dir: string): string {
  return `
    mkdir -p /var/log/tesela /usr/local/bin
    for f in ${dir}/bin/*; do ln -sfn "$f" /usr/local/bin/; done
    for s in tesela-engine teselad; do
      if systemctl cat $s.service >/dev/null 2>&1; then systemctl enable --now $s.service
      else setsid ${dir}/bin/$s </dev/null >>/var/log/tesela/$s.log 2>&1 & fi
    done`;
}

/** Runs a script of sh there; its stdout. */
async function remote(host: string, o: BringUp, script: string, input = ""): Promise<string> {
  const child = ssh(host, o, script, "pipe");
  child.stdin?.on("error", () => undefined);
  child.stdin?.end(input);
  return await outcome(host, child);
}

async function copy(host: string, o: BringUp, script: string): Promise<void> {
  const tar = spawn(
    "tar",
    ["--owner=0", "--group=0", "-C", o.root, "-cf", "-", "--use-compress-program=gzip -1", ...packageFiles(o.root)],
    {
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  const child = ssh(host, o, script, "pipe");
  child.stdin?.on("error", () => tar.kill());
  if (child.stdin) tar.stdout.pipe(child.stdin);
  const packed = once(tar, "close") as Promise<[number | null]>;
  await outcome(host, child);
  const [status] = await packed;
  if (status !== 0) throw new TeselaError("E_LINK", `${host}: tar ended with status ${status}`);
}

function ssh(host: string, o: BringUp, script: string, stdin: "pipe" | "ignore"): ChildProcess {
  const [program = "ssh", ...words] = o.ssh;
  return spawn(program, [...words, host, script], { stdio: [stdin, "pipe", "pipe"] });
}

async function outcome(host: string, child: ChildProcess): Promise<string> {
  const out: Buffer[] = [];
  let said = "";
  child.stdout?.on("data", (part: Buffer) => out.push(part));
  child.stderr?.on("data", (part: Buffer) => {
    said = (said + part.toString()).slice(-MAX_SAID);
  });
  let status: number | null;
  try {
    [status] = (await once(child, "close")) as [number | null];
  } catch (cause) {
    throw new TeselaError("E_MISSING", `ssh cannot be started: ${(cause as Error).message}`, {}, { cause });
  }
  if (status !== 0)
    throw new TeselaError("E_LINK", `${host}: ${said.trim().split("\n").at(-1) || `the command ended with status ${status}`}`);
  return Buffer.concat(out).toString();
}

const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
