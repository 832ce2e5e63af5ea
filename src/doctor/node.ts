import { X509Certificate } from "node:crypto";
import { toTeselaError } from "../base/mod.ts";
import { degraded, type Files, type Finding, missing, ok, unknown } from "./finding.ts";

/** What makes a machine a node: its membership, certificates, configuration and daemons. */

const DAY_MS = 86_400_000;
/** A certificate that is renewed by itself has longer to go. */
const SOON_DAYS = 14;

/** @param read throws where the file is wrong, and says in words what holds otherwise */
export function configFinding(read: () => string): Finding {
  try {
    return ok("configuration", read());
  } catch (e) {
    return missing(
      "configuration",
      toTeselaError(e).message,
      "mend it: daemons do not start with it; tesela config shows what may be said",
    );
  }
}

const JOIN_AGAIN = "tesela leave --force here, then join again with a token (and --id, for the same number)";

/**
 * @param read throws where node.json is wrong
 * @param standing of a node by number: what `membership.json` says of it
 * @param refusal why the other nodes do not accept this one, or null
 */
export function membershipFinding(
  read: () => { id: number; name: string; cluster: string },
  standing: (id: number) => string = () => "member",
  refusal: string | null = null,
): Finding {
  try {
    const { id, name, cluster } = read();
    const who = `node ${id} (${name}) of '${cluster}'`;
    const is = standing(id);
    if (is !== "member") return missing("membership", `${who}, which ${is === "left" ? "it has left" : "it was removed from"}`, JOIN_AGAIN);
    if (refusal !== null)
      return degraded("membership", `${who}, but: ${refusal}`, `ask there with tesela nodes; if it was removed: ${JOIN_AGAIN}`);
    return ok("membership", who);
  } catch (e) {
    return missing("membership", toTeselaError(e).message, "tesela init makes a cluster, tesela join enters one");
  }
}

/** What `membership.json` says of a node; a member is also one of which it says nothing. */
export function standingIn(files: Files, path: string, id: number): string {
  let value: unknown;
  try {
    value = JSON.parse(files.text(path) ?? "{}");
  } catch {
    // Half of a file is teselad's to complain of.
    return "member";
  }
  const { entries } = (value ?? {}) as { entries?: unknown };
  const own = Array.isArray(entries) ? (entries as { id?: unknown; standing?: unknown }[]).find((e) => e?.id === id) : undefined;
  return typeof own?.standing === "string" ? own.standing : "member";
}

/** @param dir with `ca.pem` and `node.pem`, which are for root to read */
export function certificateFindings(files: Files, dir: string, now: number, isRoot = true): Finding[] {
  return [
    ["CA", "ca.pem"],
    ["node", "node.pem"],
  ].map(([who, name]) => certificateFinding(`${who} certificate`, files.text(`${dir}/${name}`), now, isRoot));
}

function certificateFinding(check: string, pem: string | null, now: number, isRoot: boolean): Finding {
  if (pem === null && !isRoot) return unknown(check, "for root alone to see", "run tesela doctor as root");
  if (pem === null) return missing(check, "not there", "tesela init makes it for a cluster's first node, tesela join for the others");
  let until: number;
  let from: number;
  try {
    const { validFromDate, validToDate } = new X509Certificate(pem);
    [from, until] = [validFromDate.getTime(), validToDate.getTime()];
  } catch {
    return missing(check, "not a certificate in PEM form", "tesela join");
  }
  const day = (ms: number): string => new Date(ms).toISOString().slice(0, 10);
  if (now < from) return missing(check, `valid only from ${day(from)}`, "set the clock: it is wrong here, or was where it was made");
  if (now >= until) return missing(check, `expired on ${day(until)}`, "tesela leave --force, then join again with a token");
  if (until - now < SOON_DAYS * DAY_MS)
    return degraded(check, `ends on ${day(until)}`, "start a node with the CA key and both daemons here: it is renewed by itself");
  return ok(check, `until ${day(until)}`);
}

export interface Daemons {
  readonly teselad: boolean;
  readonly engine: boolean;
  /** Why another node does not accept this one. */
  readonly refusal?: string;
}

export function daemonFindings({ teselad, engine }: Daemons): Finding[] {
  const of = (name: string, runs: boolean): Finding =>
    runs ? ok(name, "runs") : missing(name, "does not run, or does not answer", `start ${name} (packaging/ has units for systemd)`);
  return [of("teselad", teselad), of("tesela-engine", engine)];
}

/** Whether the process of a PID file runs that program: a number may have passed on to another. */
export function runs(files: Files, pidFile: string, program: string): boolean {
  const pid = Number(files.text(pidFile) ?? 0);
  return pid > 0 && (files.text(`/proc/${pid}/cmdline`) ?? "").split("\0").some((arg) => arg.endsWith(program));
}

/** @param takes why the port cannot be taken now, or null. Whose it is is known from the daemons: theirs if they run */
export function portFinding(check: string, ours: boolean, takes: string | null): Finding {
  if (takes === null) return ours ? degraded(check, "nobody listens though the daemon runs", "look into its log") : ok(check, "free");
  if (ours) return ok(check, "taken by Tesela");
  return missing(check, takes, "end what holds it, or join with another --port");
}
