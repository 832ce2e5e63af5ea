import { Socket } from "node:net";
import type { Duplex } from "node:stream";

/**
 * Reading into memory of our own. Node hands out what a socket receives in buffers that it allocates for each read, which for TLS
 * means one of 16 KiB a record: at a gigabyte a second that is most of the cost. Its way around, the option `onread`, exists for
 * sockets that Node dials, not for those that it accepts, although both work alike underneath. So the three fields that the
 * option would have set are set here, found by their names; where this Node has them not, the caller reads the usual way.
 */

interface ReadFields {
  readonly buffer: symbol;
  readonly callback: symbol;
  readonly generator: symbol;
}
interface Handle {
  useUserBuffer?: (buffer: Uint8Array) => void;
}

function findFields(): ReadFields | null {
  const symbols = Object.getOwnPropertySymbols(new Socket());
  const named = (description: string) => symbols.find((s) => s.description === description);
  const [buffer, callback, generator] = [named("kBuffer"), named("kBufferCb"), named("kBufferGen")];
  return buffer && callback && generator ? { buffer, callback, generator } : null;
}

let fields: ReadFields | null | undefined;

/**
 * From now on bytes go into the buffer that `next` names (never an empty one; asked again after each read), and `took` is told how
 * many came. Both must not throw. `took` returns false to pause; `socket.resume()` goes on. Reads that were decrypted already may
 * still come after a pause. False: this stream cannot do it, and nothing was changed.
 */
export function readDirectly(stream: Duplex, next: () => Buffer, took: (n: number) => boolean): boolean {
  if (fields === undefined) fields = findFields();
  if (fields === null || !(stream instanceof Socket)) return false;
  const socket = stream as unknown as { _handle?: Handle } & Record<symbol, unknown>;
  const handle = socket._handle;
  if (typeof handle?.useUserBuffer !== "function") return false;
  const first = next();
  socket[fields.generator] = next;
  socket[fields.callback] = took;
  socket[fields.buffer] = first;
  handle.useUserBuffer(first);
  return true;
}
