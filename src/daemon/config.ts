export { checkPeer, NODE_NAME, type NodeConfig, type Peer, readNodeConfig, readPeers, Watched } from "../cluster/mod.ts";
