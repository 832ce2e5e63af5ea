import { closeSync, lstatSync, openSync, readdirSync, readFileSync, readlinkSync, writeSync } from "node:fs";

/**
 * An initramfs: an archive of the form `newc` (cpio(5), the kernel's Documentation/driver-api/early-userspace/buffer-format.rst), not
 * compressed, since a kernel that is emulated unpacks slower than it reads.
 */
export class Archive implements Disposable {
  private readonly fd: number;
  private readonly made = new Set<string>();
  private inode = 1;

  constructor(path: string) {
    this.fd = openSync(path, "w");
  }

  directory(path: string): void {
    if (path === "" || path === "/" || this.made.has(path)) return;
    this.directory(parent(path));
    this.made.add(path);
    this.entry(path, 0o040755, Buffer.alloc(0));
  }
  file(path: string, content: Buffer | string, mode = 0o644): void {
    this.directory(parent(path));
    this.entry(path, 0o100000 | mode, Buffer.from(content));
  }
  link(path: string, target: string): void {
    this.directory(parent(path));
    this.entry(path, 0o120777, Buffer.from(target));
  }
  /** A file, or all that a directory holds, at the path given. */
  copy(from: string, to: string): void {
    const st = lstatSync(from);
    if (st.isDirectory()) {
      this.directory(to);
      for (const name of readdirSync(from)) this.copy(`${from}/${name}`, `${to}/${name}`);
    } else if (st.isSymbolicLink()) this.link(to, readlinkSync(from));
    else this.file(to, readFileSync(from), st.mode & 0o777);
  }

  private entry(path: string, mode: number, content: Buffer): void {
    const name = `${path.replace(/^\//, "")}\0`;
    const hex = (n: number): string => n.toString(16).padStart(8, "0");
    const fields = [this.inode++, mode, 0, 0, 1, 0, content.length, 0, 0, 0, 0, name.length, 0];
    this.write(pad(Buffer.from(`070701${fields.map(hex).join("")}${name}`)));
    this.write(pad(content));
  }
  private write(bytes: Buffer): void {
    for (let done = 0; done < bytes.length; ) done += writeSync(this.fd, bytes, done);
  }

  /** Ends the archive. */
  [Symbol.dispose](): void {
    this.entry("TRAILER!!!", 0, Buffer.alloc(0));
    closeSync(this.fd);
  }
}

const parent = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf("/")));
const pad = (bytes: Buffer): Buffer => Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)]);
