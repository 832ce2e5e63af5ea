import { TeselaError } from "../base/mod.ts";
import type { Message } from "../wire/mod.ts";
import type { CachedFile, FileCache } from "./file-cache.ts";

const MAX_FILE = 256 << 20;
const MAX_OPEN = 64;

/** Mapped files on their way into the cache, piece by piece. */
export class IncomingFiles implements Disposable {
  private readonly cache: FileCache;
  private readonly open = new Map<string, CachedFile>();
  private readonly asked = new Map<string, () => void>();
  private readonly own: string | null;

  /** @param own a content that is here anyway: the vdso */
  constructor(cache: FileCache, own: string | null = null) {
    this.cache = cache;
    this.own = own;
  }
  /**
   * Which of these contents are to be sent. Those that somebody else is sending already are waited for, as long as `waitMs`: of the compilers of
   * a make the first ones come together, with the same 30 MiB.
   */
  async want(files: readonly { readonly hash: string }[], waitMs: number): Promise<string[]> {
    const missing = (): string[] => files.flatMap(({ hash }) => (hash === this.own || this.cache.has(hash) ? [] : [hash]));
    await this.cache.settled(missing(), waitMs);
    const wanted = missing();
    for (const hash of wanted) this.asked.set(hash, this.cache.expect(hash));
    return wanted;
  }
  take(m: Extract<Message, { type: "file" }>): void {
    const { hash, size, last } = m.head;
    if (this.cache.has(hash)) {
      this.settle(hash);
      return;
    }
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
    this.settle(hash);
  }
  /** No more of it will come, whether it is whole or not. */
  abandon(hash: string): void {
    this.open.get(hash)?.[Symbol.dispose]();
    this.open.delete(hash);
    this.settle(hash);
  }
  private settle(hash: string): void {
    this.asked.get(hash)?.();
    this.asked.delete(hash);
  }
  [Symbol.dispose](): void {
    for (const file of this.open.values()) file[Symbol.dispose]();
    this.open.clear();
    for (const hash of [...this.asked.keys()]) this.settle(hash);
  }
}
