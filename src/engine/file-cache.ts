import { createHash } from "node:crypto";
import { closeSync, ftruncateSync, writeSync } from "node:fs";
import { assert, MiB, TeselaError } from "../base/mod.ts";
import { addressOfBytes, libc } from "../sys/mod.ts";

/** The cache's files are named so that a guest's /proc/PID/maps tells which content an area shows. */
const NAME_PREFIX = "tesela-";
const MAPS_NAME = /^\/memfd:tesela-([0-9a-f]{64}) \(deleted\)$/;
const MFD_CLOEXEC = 1;

/** Content kept on this node for guests to map; the least lately used goes first. Mapped pages outlive their entry. */
export const CACHE_BYTES = 1024 * MiB;
/** What is on its way into the cache, together: a sender says sizes before it sends anything. */
export const COMING_BYTES = 1024 * MiB;
/** Descriptors that the cache holds at most. */
export const CACHE_FILES = 512;

interface Entry {
  readonly fd: number;
  readonly size: number;
}

/** Files of other nodes by the hash of their content, in memory, so that a library crosses the network once. */
export class FileCache implements Disposable {
  private readonly entries = new Map<string, Entry>();
  /** Contents that a sender was asked for, and is sending. */
  private readonly awaited = new Map<string, Promise<void>>();
  private bytes = 0;
  private coming = 0;

  has(hash: string): boolean {
    return this.entries.has(hash);
  }

  /** The descriptor of a content that is here. It may be closed by the next {@link create}. */
  fd(hash: string): number {
    const entry = this.entries.get(hash);
    if (!entry) throw new TeselaError("E_PROTOCOL", `a mapped file's content was not sent: ${hash}`);
    this.entries.delete(hash);
    this.entries.set(hash, entry);
    return entry.fd;
  }

  /**
   * Room for a content that is about to come; `commit` makes it known, disposal without it drops it.
   * @throws TeselaError E_NOMEM when too much is on its way already
   */
  create(hash: string, size: number): CachedFile {
    if (!/^[0-9a-f]{64}$/.test(hash)) throw new TeselaError("E_PROTOCOL", "a content is named by its sha256");
    if (this.coming + size > COMING_BYTES)
      throw new TeselaError("E_NOMEM", `mapped files of ${this.coming} bytes are on their way already`);
    const fd = libc.must("memfd_create", libc.memfdCreate(NAME_PREFIX + hash, MFD_CLOEXEC));
    ftruncateSync(fd, size);
    this.coming += size;
    const over = (): void => {
      this.coming -= size;
    };
    return new CachedFile(fd, hash, size, over, () => {
      if (this.entries.has(hash)) {
        // It came twice at the same time.
        closeSync(fd);
        return;
      }
      this.entries.set(hash, { fd, size });
      this.bytes += size;
      this.evict();
    });
  }

  /** Says that a content was asked for. @returns called once, when it has come or will not */
  expect(hash: string): () => void {
    if (this.awaited.has(hash)) return () => undefined;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.awaited.set(hash, promise);
    return () => {
      if (this.awaited.get(hash) === promise) this.awaited.delete(hash);
      resolve();
    };
  }

  /** Waits for those of these contents that are on their way: what is here after that, or not, is for the caller to see. */
  async settled(hashes: readonly string[], ms: number): Promise<void> {
    const coming = hashes.flatMap((hash) => this.awaited.get(hash) ?? []);
    if (coming.length === 0) return;
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, ms);
    await Promise.race([Promise.all(coming), late]);
    clearTimeout(timer);
  }

  private evict(): void {
    for (const [hash, entry] of this.entries) {
      if (this.entries.size <= CACHE_FILES && this.bytes <= CACHE_BYTES) return;
      this.entries.delete(hash);
      this.bytes -= entry.size;
      closeSync(entry.fd);
    }
  }

  [Symbol.dispose](): void {
    for (const entry of this.entries.values()) closeSync(entry.fd);
    this.entries.clear();
  }
}

export class CachedFile implements Disposable {
  private readonly fd: number;
  private readonly name: string;
  private readonly size: number;
  private readonly over: () => void;
  private readonly publish: () => void;
  private readonly sum = createHash("sha256");
  private done = false;
  private at = 0;

  /** @param over called once, however it ends */
  constructor(fd: number, name: string, size: number, over: () => void, publish: () => void) {
    this.over = over;
    this.fd = fd;
    this.name = name;
    this.size = size;
    this.publish = publish;
  }

  /** @throws TeselaError E_PROTOCOL for more than was announced */
  write(bytes: Uint8Array): void {
    if (this.at + bytes.length > this.size) throw new TeselaError("E_PROTOCOL", "a mapped file is longer than its sender said");
    for (let done = 0; done < bytes.length; ) {
      const n = writeSync(this.fd, bytes, done, bytes.length - done, this.at);
      done += n;
      this.at += n;
    }
    this.sum.update(bytes);
  }

  /** Other nodes' processes will map it by its name, so the name has to be true. @throws TeselaError E_PROTOCOL */
  commit(): void {
    if (this.at !== this.size || this.sum.digest("hex") !== this.name) {
      throw new TeselaError("E_PROTOCOL", `a mapped file is not what its sender said: ${this.name}`);
    }
    this.done = true;
    this.over();
    this.publish();
  }
  [Symbol.dispose](): void {
    if (this.done) return;
    this.done = true;
    this.over();
    closeSync(this.fd);
  }
}

/** The content that an area of a guest shows, by its line in /proc/PID/maps; null when it is no file of ours. */
export const hashOfMapping = (name: string): string | null => MAPS_NAME.exec(name)?.[1] ?? null;

const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
/** SCM_MAX_FD is 253; fewer keep the message small. */
export const FDS_PER_MESSAGE = 64;

/** Sends descriptors over a Unix socket (unix(7), SCM_RIGHTS). */
export function sendDescriptors(socket: number, fds: readonly number[]): void {
  assert(fds.length > 0 && fds.length <= FDS_PER_MESSAGE, "descriptors of one message");
  const byte = Buffer.from([0]);
  const iov = Buffer.alloc(16);
  iov.writeBigUInt64LE(addressOfBytes(byte), 0);
  iov.writeBigUInt64LE(1n, 8);
  const control = Buffer.alloc(16 + ((4 * fds.length + 7) & ~7));
  control.writeBigUInt64LE(BigInt(16 + 4 * fds.length), 0);
  control.writeInt32LE(SOL_SOCKET, 8);
  control.writeInt32LE(SCM_RIGHTS, 12);
  fds.forEach((fd, i) => {
    control.writeInt32LE(fd, 16 + 4 * i);
  });
  const msg = Buffer.alloc(56);
  msg.writeBigUInt64LE(addressOfBytes(iov), 16);
  msg.writeBigUInt64LE(1n, 24);
  msg.writeBigUInt64LE(addressOfBytes(control), 32);
  msg.writeBigUInt64LE(BigInt(control.length), 40);
  libc.must("sendmsg", libc.sendmsg(socket, msg, 0));
}

/** A struct msghdr and its buffers, laid out to be placed at `at` in a guest, for receiving up to FDS_PER_MESSAGE. */
export function receiveBlock(at: bigint): Buffer {
  const control = 16 + 4 * FDS_PER_MESSAGE;
  const b = Buffer.alloc(56 + 16 + 8 + control);
  b.writeBigUInt64LE(at + 56n, 16);
  b.writeBigUInt64LE(1n, 24);
  b.writeBigUInt64LE(at + 80n, 32);
  b.writeBigUInt64LE(BigInt(control), 40);
  b.writeBigUInt64LE(at + 72n, 56);
  b.writeBigUInt64LE(1n, 64);
  return b;
}
