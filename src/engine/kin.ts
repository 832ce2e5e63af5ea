import { TeselaError } from "../base/mod.ts";

/** What ties a guest to others of its family that run beside it. */
export class Kin {
  private others = 0;
  /** Called when it begins to share its memory. */
  onShare: () => void = () => {};
  /** Called once when it has ended, or is another program. */
  onOver: () => void = () => {};

  /** With how many others it shares its memory, as vfork(2) makes it. */
  get sharing(): number {
    return this.others;
  }
  share(): void {
    this.others++;
    this.onShare();
  }
  unshare(): void {
    this.others--;
  }

  /** @throws TeselaError E_CANTMOVE: one of two that share their memory cannot be moved without the other */
  mustBeAlone(): void {
    if (this.sharing === 0) return;
    throw new TeselaError("E_CANTMOVE", "it shares its memory with a child until that is another program", { reasons: ["vfork"] });
  }
}
