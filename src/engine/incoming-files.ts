import { TeselaError } from "../base/mod.ts";
import type { Message } from "../wire/mod.ts";
import type { CachedFile, FileCache } from "./file-cache.ts";

const MAX_FILE = 256 << 20;
const MAX_OPEN = 64;

/** Mapped files on their way into the cache, piece by piece. */
export class IncomingFiles implements Disposable {
  private readonly cache: FileCache;
  private readonly open = new Map<string, CachedFile>();
  constructor(cache: FileCache) {
    this.cache = cache;
  }
  take(m: Extract<Message, { type: "file" }>): void {
    const { hash, size, last } = m.head;
    if (this.cache.has(hash)) return;
    let file = this.open.get(hash);
    if (!file) {
      if (size > MAX_FILE || this.open.size >= MAX_OPEN) throw new TeselaError("E_PROTOCOL", `a mapped file of ${size} bytes is too big`);
      file = this.cache.create(hash, size);
      this.open.set(hash, file);
    }
    file.write(m.payload);
    if (!last) return;
    file.commit();
    this.open.delete(hash);
  }
  /** No more of it will come, whether it is whole or not. */
  abandon(hash: string): void {
    this.open.get(hash)?.[Symbol.dispose]();
    this.open.delete(hash);
  }
  [Symbol.dispose](): void {
    for (const file of this.open.values()) file[Symbol.dispose]();
    this.open.clear();
  }
}
