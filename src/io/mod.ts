/** The world outside, each thing as an interface with a real and an in-memory implementation: time, chance, other nodes. */
export { BrokenLink } from "./broken-link.ts";
export { channelOver, type ChannelOptions, DEAD_MS, PING_MS, SEND_HIGH_WATER } from "./channel.ts";
export * from "./clock.ts";
export { CLUSTER_NAME, type Credentials, nodeOfCertificate, nodeUri } from "./credentials.ts";
export { type Datagrams, type Endpoint, MAX_DATAGRAM, UdpDatagrams } from "./datagrams.ts";
export { readDirectly } from "./direct-read.ts";
export { CLEAR, type DatagramCounts, DatagramNetwork, MemoryDatagrams, type Weather } from "./memory-datagrams.ts";
export { MemoryNetwork, MemoryTransport, type MemoryTransportOptions } from "./memory-transport.ts";
export * from "./random.ts";
export { RESUME_LIMIT_MS, SILENCE_MS } from "./session-channel.ts";
export { SessionTransport, type SessionOptions } from "./session-transport.ts";
export { acceptInThread, type Descriptors, PortDoor, type ThreadAcceptOptions } from "./thread-door.ts";
export { CONNECT_TIMEOUT_MS } from "./tls-dial.ts";
export { HANDSHAKE_MS } from "./tls-accept.ts";
export { MAX_CONNECTIONS, MAX_STRANGERS } from "./tls-listener.ts";
export { TlsTransport, type TlsTransportOptions } from "./tls-transport.ts";
export * from "./transport.ts";
