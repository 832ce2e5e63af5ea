import { type Log, type NodeId, type Paths, toTeselaError } from "../base/mod.ts";
import { loadIdentity, type MemberRecord, readRecord, Watched } from "../cluster/mod.ts";
import type { Credentials } from "../io/mod.ts";

/** What teselad writes down of the membership, as it changes: whose certificates are refused, and this node's own certificate. */
export class MembershipWatch {
  private readonly paths: Paths;
  private readonly log: Log;
  private readonly credentials: Credentials;
  private readonly recordFile: Watched;
  private readonly certificate: Watched;
  private record: MemberRecord;

  /** @throws E_CONFIG */
  constructor(paths: Paths, credentials: Credentials, log: Log) {
    this.paths = paths;
    this.credentials = credentials;
    this.log = log;
    this.recordFile = new Watched(paths.membershipJson);
    this.certificate = new Watched(`${paths.identity}/node.pem`);
    this.recordFile.changed();
    this.certificate.changed();
    this.record = readRecord(paths, credentials.cluster, credentials.ca);
  }

  readonly refuses = (node: NodeId, key: string): string | null => this.record.refuses(node, key);

  /** It has left or was removed. */
  isGone(node: number): boolean {
    const entry = this.record.get(node);
    return entry !== undefined && entry.standing !== "member";
  }

  /** True when the record has changed since the last look. */
  look(): boolean {
    if (!this.recordFile.changed()) return false;
    try {
      this.record = readRecord(this.paths, this.credentials.cluster, this.credentials.ca);
      return true;
    } catch (e) {
      this.log.error("the membership stays as it was", { error: toTeselaError(e).message });
      return false;
    }
  }

  /** A renewed certificate, null when there is none. */
  renewed(): Credentials | null {
    if (!this.certificate.changed()) return null;
    try {
      const fresh = loadIdentity(this.paths.identity, this.credentials.name);
      return fresh.node === this.credentials.node && fresh.cluster === this.credentials.cluster ? fresh : null;
    } catch (e) {
      this.log.error("the certificate stays as it was", { error: toTeselaError(e).message });
      return null;
    }
  }
}
