import { accessSync, constants } from "node:fs";
import { nodeId, type Paths, TeselaError } from "../base/mod.ts";
import {
  admit,
  type ClusterCa,
  caFingerprint,
  encodeToken,
  holdsCa,
  loadCa,
  type MemberRecord,
  mustBelong,
  newToken,
  type NodeConfig,
  readNodeConfig,
  readPeers,
  readRecord,
  TokenStore,
} from "../cluster/mod.ts";
import { systemRandom } from "../io/mod.ts";

export interface TokenWish {
  /** Seconds. */
  readonly ttl: number;
  /** Where the machine reaches this node; where the others do unless given. */
  readonly address?: string | undefined;
  readonly node?: number | undefined;
  readonly name?: string | undefined;
}

export interface OpenedToken {
  readonly token: string;
  readonly id: string;
  readonly address: string;
  readonly port: number;
  /** Seconds since 1970. */
  readonly expires: number;
}

/** The key is for root alone, and who may not look whether it is there would be told that it is not. @throws TeselaError E_PERM */
function mustRead(dir: string): void {
  try {
    accessSync(dir, constants.R_OK | constants.X_OK);
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code !== "EACCES") return;
    throw new TeselaError("E_PERM", "only root may let machines in: what makes tokens is for root to read");
  }
}

/** What letting a machine in takes. @throws E_MISSING on a node that does not hold the CA's key, E_REFUSED on one that is out, E_CONFIG on none */
export function mayLetIn(paths: Paths): { own: NodeConfig; ca: ClusterCa; record: MemberRecord } {
  const own = readNodeConfig(paths);
  mustRead(paths.identity);
  if (!holdsCa(paths.identity))
    throw new TeselaError("E_MISSING", `node ${own.id} does not hold the cluster's CA key: machines are let in where 'tesela init' ran`);
  const ca = loadCa(paths.identity);
  const record = readRecord(paths, own.cluster, ca.cert);
  mustBelong(paths, record);
  return { own, ca, record };
}

/** Makes a token and opens the door for it. @throws as {@link mayLetIn}; E_EXISTS for a number or a name that another node has */
export function openToken(paths: Paths, { ttl, address, node, name }: TokenWish): OpenedToken {
  const { own, ca, record } = mayLetIn(paths);
  const meant = { ...(node !== undefined && { node }), ...(name !== undefined && { name }) };
  // One that nobody could ever join with is not made.
  if (node !== undefined || name !== undefined)
    admit({ csr: "", host: "", address: own.address, port: own.port }, meant, record, readPeers(paths));
  const token = newToken(systemRandom, {
    cluster: ca.cluster,
    fingerprint: caFingerprint(ca.cert),
    node: nodeId(own.id),
    address: address ?? own.address,
    port: own.port,
    expires: Math.ceil(Date.now() / 1000) + ttl,
  });
  const id = token.id.toString("hex");
  const { secret, expires } = token;
  new TokenStore(paths.identity).add({ id, secret, expires, ...meant });
  return { token: encodeToken(token), id, address: token.address, port: token.port, expires };
}
