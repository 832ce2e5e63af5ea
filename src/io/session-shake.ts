import { TeselaError } from "../base/mod.ts";
import type { Message, MessageName } from "../wire/mod.ts";
import type { Channel } from "./transport.ts";

/**
 * The first message of a connection, which has to be of this type. The connection is paused behind it.
 * @throws TeselaError what the peer closed it with, E_LINK, E_PROTOCOL, or the signal's reason; the connection is closed then
 */
export function firstMessage<K extends MessageName>(
  connection: Channel,
  type: K,
  signal: AbortSignal,
): Promise<Extract<Message, { type: K }>> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      connection.close();
      reject(signal.reason);
    };
    const settled = (): void => signal.removeEventListener("abort", onAbort);
    signal.addEventListener("abort", onAbort, { once: true });
    connection.onMessage((m) => {
      connection.pause();
      settled();
      if (m.type !== type) throw new TeselaError("E_PROTOCOL", `node ${connection.peer.node} began with '${m.type}' instead of '${type}'`);
      resolve(m as Extract<Message, { type: K }>);
    });
    void connection.closed.then((reason) => {
      settled();
      reject(reason ?? new TeselaError("E_LINK", `node ${connection.peer.node} closed the connection as it began`));
    });
    if (signal.aborted) onAbort();
  });
}
