/** Who belongs to a cluster, and how it proves it. */
export { CA_DAYS, caFingerprint, certify, type ClusterCa, createCluster, issueNode, NODE_DAYS, type Validity } from "./ca.ts";
export { checkIdentity, IDENTITY_FILES, loadCa, loadIdentity, saveCa, saveIdentity } from "./files.ts";
export { decodeToken, encodeToken, type Invitation, type Member } from "./token.ts";
export { checkPeer, NODE_NAME, type NodeConfig, type Peer, readNodeConfig, readPeers, Watched } from "./config.ts";
export { loadX509 } from "./x509.ts";
export { GOSSIP_KEY_BYTES, loadGossipKeys, makeGossipKey, parseGossipKeys, saveGossipKey } from "./gossip-key.ts";
export { Keyring } from "./seal.ts";
export { type Drop, type LinkOptions, SEAL_BYTES, SealedLink } from "./sealed-link.ts";
