/** Who belongs to a cluster, and how it proves it. */
export {
  BACKDATE_MS,
  CA_DAYS,
  caFingerprint,
  certificateKeyHash,
  certify,
  type ClusterCa,
  createCluster,
  issueNode,
  NODE_DAYS,
  type Validity,
} from "./ca.ts";
export {
  checkPeer,
  NODE_NAME,
  type NodeConfig,
  type Peer,
  readNodeConfig,
  readPeers,
  Watched,
  writeMembership,
  writePeers,
  writeWhole,
} from "./config.ts";
export { DISCOVERY_DEFAULTS, discoveryFile, type DiscoverySettings, readDiscovery, writeDiscovery } from "./discovery-settings.ts";
export { type Announcement, Announcer, type Heard, MAX_ADDRESSES } from "./announcement.ts";
export { admit, type JoinRequest, readRequest, readWelcome, type Welcome } from "./enrol.ts";
export { checkIdentity, holdsCa, IDENTITY_FILES, loadCa, loadIdentity, saveCa, saveCertificate, saveIdentity } from "./files.ts";
export { formatMap, type MapLine, type MappedNode, nodesOfMap, parseMap, readMap } from "./map.ts";
export { checkEntry, type Entry, type FormerStanding, MemberRecord, signEntry, type Standing, type Unsigned } from "./record.ts";
export { mustBelong, readRecord, writeRecord } from "./record-file.ts";
export { makeRequest, newKey, requestedKey } from "./request.ts";
export { decodeToken, encodeToken, newToken, proofOf, proves, type Token } from "./token.ts";
export { type OpenToken, type TokenState, TokenStore } from "./token-store.ts";
export { loadX509 } from "./x509.ts";
export {
  GOSSIP_KEY_BYTES,
  type GossipKeys,
  gossipKeyText,
  loadGossipKeys,
  makeGossipKey,
  parseGossipKeys,
  saveGossipKey,
  saveSignedKey,
} from "./gossip-key.ts";
export { DROP_MS, KeyChange, SWITCH_MS } from "./key-change.ts";
export { checkKey, covers, departures, type Departure, isLater, isSigned, mayHave, type SignedKey, signKey } from "./signed-key.ts";
export { Keyring } from "./seal.ts";
export { type Drop, type LinkOptions, SEAL_BYTES, SealedLink } from "./sealed-link.ts";
export { DATAGRAM_BYTES, type GossipKnobs, LAN, LOCAL, PRESETS } from "./gossip-knobs.ts";
export { LOAD_BYTES, type MemberState, MESSAGE_BYTES, type Where } from "./gossip-message.ts";
export { LOAD_FLAGS, type LoadEntry } from "./load-entry.ts";
export { type LoadItem, LoadVector } from "./load-vector.ts";
export { type Change, type Contact, Membership, type MembershipOptions, type MemberView, type Sender } from "./membership.ts";
