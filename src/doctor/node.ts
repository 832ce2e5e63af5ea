import { X509Certificate } from "node:crypto";
import { toTeselaError } from "../base/mod.ts";
import { degraded, type Files, type Finding, missing, ok } from "./finding.ts";

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

export function membershipFinding(read: () => { id: number; name: string; cluster: string }): Finding {
  try {
    const { id, name, cluster } = read();
    return ok("membership", `node ${id} (${name}) of '${cluster}'`);
  } catch (e) {
    return missing("membership", toTeselaError(e).message, "tesela init makes a cluster, tesela join enters one");
  }
}

/** @param dir with `ca.pem` and `node.pem` */
export function certificateFindings(files: Files, dir: string, now: number): Finding[] {
  return [
    ["CA", "ca.pem"],
    ["node", "node.pem"],
  ].map(([who, name]) => certificateFinding(`${who} certificate`, files.text(`${dir}/${name}`), now));
}

function certificateFinding(check: string, pem: string | null, now: number): Finding {
  if (pem === null) return missing(check, "not there, or not for this user to read", "tesela join, or run this as root");
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
