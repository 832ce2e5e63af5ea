export { checkPeer, NODE_NAME, type NodeConfig, type Peer, readNodeConfig, readPeers, Watched, writePeers } from "../cluster/mod.ts";
