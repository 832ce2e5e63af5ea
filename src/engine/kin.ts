import { TeselaError } from "../base/mod.ts";

/** What ties a guest to others of its family that run beside it. */
export class Kin {
  private others = 0;
  /** It is the one that began on its parent's memory. */
  private isChild = false;
  /** Called when it begins to share its memory. */
  onShare: () => void = () => {};
  /** Called once when it has ended, or is another program. */
  onOver: () => void = () => {};

  /** With how many others it shares its memory, as vfork(2) makes it. */
  get sharing(): number {
    return this.others;
  }
  share(asChild: boolean): void {
    this.others++;
    this.isChild = asChild;
    this.onShare();
  }
  unshare(): void {
    this.others--;
  }

  /** @throws TeselaError E_CANTMOVE: one of two that share their memory cannot be moved without the other; see {@link passesByItself} */
  mustBeAlone(pid: number): void {
    if (this.sharing === 0) return;
    const message = this.isChild
      ? `process ${pid} has its parent's memory until it is another program`
      : `process ${pid} shares its memory with a child until that is another program`;
    throw new TeselaError("E_CANTMOVE", message, { reasons: ["vfork"], child: this.isChild ? pid : 0 });
  }
}

/**
 * Whether a process that has to come home only waits for a child of its own or of another to become another program, or to end, however
 * long that takes it. Not so for such a child itself: what it waits for does not come before it goes on. Nodes tell which of the two it is.
 */
export function passesByItself({ details }: TeselaError, pid: number): boolean {
  return Array.isArray(details.reasons) && details.reasons.includes("vfork") && typeof details.child === "number" && details.child !== pid;
}
