import { X509Certificate, type KeyObject } from "node:crypto";
import { type Log, type Paths, toTeselaError } from "../base/mod.ts";
import {
  type ClusterCa,
  type Departure,
  type GossipKeys,
  IDENTITY_FILES,
  isLater,
  isSigned,
  KeyChange,
  type Keyring,
  loadGossipKeys,
  saveSignedKey,
  type SignedKey,
  signKey,
  Watched,
} from "../cluster/mod.ts";
import { type Clock, realClock, type Timer } from "../io/mod.ts";

interface Parts {
  readonly paths: Paths;
  readonly cluster: string;
  /** The CA's certificate, PEM. */
  readonly ca: string;
  readonly log: Log;
  readonly clock?: Clock;
}

/**
 * `gossip.key` while the daemon runs: a new key that another node gave, that was made here, or that somebody wrote into the file. The file has the
 * last one only: a node that crashed in the middle of a change goes on with the new key, which the others have or are told.
 */
export class LiveKeys implements Disposable {
  private readonly p: Parts;
  private readonly clock: Clock;
  private readonly ca: KeyObject;
  private readonly file: Watched;
  private change: KeyChange;
  private timer: Timer | null = null;
  private signed: SignedKey | null;
  /** Called when other keys seal or open than before. */
  onChange: (ring: Keyring) => void = () => undefined;

  /** @throws TeselaError E_CONFIG */
  constructor(parts: Parts) {
    this.p = parts;
    this.clock = parts.clock ?? realClock;
    this.ca = new X509Certificate(parts.ca).publicKey;
    this.file = new Watched(`${parts.paths.identity}/${IDENTITY_FILES.gossipKey}`);
    this.file.changed();
    const keys = loadGossipKeys(parts.paths.identity);
    this.signed = this.believed(keys);
    this.change = this.begun(keys);
  }

  get ring(): Keyring {
    return this.change.ring;
  }

  /** The one that holds; null while that is one that nobody signed. */
  get best(): SignedKey | null {
    return this.signed;
  }

  /** Takes a key over that is later than this node's, and the CA's word. @returns whether it is new here */
  take(key: SignedKey, from: string): boolean {
    if (!isLater(key, this.signed)) return false;
    if (!isSigned(key, this.p.cluster, this.ca)) {
      this.p.log.warn("a gossip key is not believed: the cluster's CA has not signed it", { from });
      return false;
    }
    this.hold(key);
    this.p.log.info("the gossip key changes", { from, generation: key.generation });
    return true;
  }

  /** Makes a new key. @param gone who is not to have it */
  renew(ca: ClusterCa, gone: readonly Departure[]): void {
    const key = signKey(ca, (this.signed?.generation ?? 0) + 1, gone);
    this.hold(key);
    this.p.log.info("a new gossip key is made: nodes are gone that have the old one", { generation: key.generation });
  }

  /** Once a second: whether somebody has written another key into the file. */
  look(): void {
    if (!this.file.changed()) return;
    try {
      const keys = loadGossipKeys(this.p.paths.identity);
      this.signed = this.believed(keys);
      this.change = this.begun(keys);
      this.p.log.info("gossip.key was read again");
      this.advance();
    } catch (e) {
      this.p.log.error("the gossip key stays as it was", { error: toTeselaError(e).message });
    }
  }

  [Symbol.dispose](): void {
    this.timer?.cancel();
  }

  private believed({ signed }: GossipKeys): SignedKey | null {
    return signed !== null && isSigned(signed, this.p.cluster, this.ca) ? signed : null;
  }

  private begun({ secrets }: GossipKeys): KeyChange {
    const [first, ...rest] = secrets;
    if (first === undefined) throw new Error("a file of keys without one");
    return new KeyChange(this.clock, [first, ...rest]);
  }

  private hold(key: SignedKey): void {
    // First on disk: whoever was told of a key must not forget it.
    saveSignedKey(this.p.paths.identity, key);
    this.file.changed();
    this.signed = key;
    this.change.begin(Buffer.from(key.secret, "hex"));
    this.advance();
  }

  private advance(): void {
    this.timer?.cancel();
    const next = this.change.advance();
    this.timer = next === null ? null : this.clock.after(next, () => this.advance());
    this.onChange(this.change.ring);
  }
}
