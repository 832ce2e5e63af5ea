import { accessSync, constants } from "node:fs";
import { nodeId, type Paths, TeselaError } from "../base/mod.ts";
import { caFingerprint, encodeToken, holdsCa, loadCa, newToken, readNodeConfig, TokenStore } from "../cluster/mod.ts";
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

/** Makes a token and opens the door for it. @throws E_MISSING on a node that does not hold the CA's key, E_CONFIG on none */
export function openToken(paths: Paths, { ttl, address, node, name }: TokenWish): OpenedToken {
  const own = readNodeConfig(paths);
  mustRead(paths.identity);
  if (!holdsCa(paths.identity))
    throw new TeselaError("E_MISSING", `node ${own.id} does not hold the cluster's CA key: machines are let in where 'tesela init' ran`);
  const ca = loadCa(paths.identity);
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
  new TokenStore(paths.identity).add({ id, secret, expires, ...(node !== undefined && { node }), ...(name !== undefined && { name }) });
  return { token: encodeToken(token), id, address: token.address, port: token.port, expires };
}
