/**
 * Where the demo shows itself: lines that stay, and on a terminal a block below them that is drawn anew each time. The block never
 * shows elsewhere, so that a log has only lines.
 */
export interface Output {
  readonly isTty: boolean;
  readonly columns: () => number;
  readonly write: (text: string) => void;
}

const ERASE_BELOW = "\u001b[0J";
const HIDE = "\u001b[?25l";
const SHOW = "\u001b[?25h";
const up = (lines: number): string => (lines > 0 ? `\r\u001b[${lines}A` : "\r");

export class Screen implements Disposable {
  private readonly out: Output;
  private block: readonly string[] = [];

  constructor(out: Output) {
    this.out = out;
    if (out.isTty) out.write(HIDE);
  }

  get isTty(): boolean {
    return this.out.isTty;
  }
  get columns(): number {
    return this.out.columns();
  }

  /** A line that stays. */
  line(text: string): void {
    if (!this.out.isTty) {
      this.out.write(`${text}\n`);
      return;
    }
    const { block } = this;
    this.erase();
    this.out.write(`${text}\n`);
    this.draw(block);
  }

  /** Lines that are replaced by the next block; each must fit into the terminal's width. */
  draw(lines: readonly string[]): void {
    if (!this.out.isTty || (lines.length === 0 && this.block.length === 0)) return;
    // Over the old ones line by line: erasing first would flicker.
    const body = lines.map((l) => `${l}\u001b[K\n`).join("");
    this.out.write(up(this.block.length) + body + ERASE_BELOW);
    this.block = lines;
  }

  /** The block becomes lines that stay. */
  keep(): void {
    this.block = [];
  }

  erase(): void {
    if (this.out.isTty && this.block.length > 0) this.out.write(up(this.block.length) + ERASE_BELOW);
    this.block = [];
  }

  [Symbol.dispose](): void {
    if (this.out.isTty) this.out.write(SHOW);
  }
}

/** `[#######.......]  48 %`, as wide as asked. */
export function bar(part: number, columns: number): string {
  const share = Math.min(1, Math.max(0, part));
  const label = ` ${String(Math.round(share * 100)).padStart(3)} %`;
  const room = Math.max(4, columns - label.length - 2);
  const full = Math.round(share * room);
  return `[${"#".repeat(full)}${".".repeat(room - full)}]${label}`;
}
