/** Text for people: aligned columns, and colour only where it is seen. */

export interface Column {
  readonly title: string;
  readonly right?: boolean;
}

/** How many terminal columns a text takes, roughly: marks that combine take none, wide East Asian ones two. */
export function textWidth(text: string): number {
  let columns = 0;
  for (const c of text) {
    const code = c.codePointAt(0) ?? 0;
    if (code >= 0x300 && code <= 0x36f) continue;
    const wide = (code >= 0x1100 && code <= 0x115f) || (code >= 0x2e80 && code <= 0xa4cf) || (code >= 0xac00 && code <= 0xd7a3);
    columns += wide || (code >= 0xf900 && code <= 0xfaff) || (code >= 0xff00 && code <= 0xff60) || code >= 0x1f300 ? 2 : 1;
  }
  return columns;
}

/** What a terminal might act on becomes `?`: names and command lines come from other people. */
export const printable = (text: string): string => text.replace(/[\u0000-\u001f\u007f-\u009f]/g, "?");

/** Rows with their columns aligned, two spaces between; the last one is not padded. No newline at the end. */
export function textTable(rows: readonly (readonly string[])[], columns: readonly Column[] = []): string {
  const all = columns.length > 0 ? [columns.map((c) => c.title), ...rows] : rows;
  const widths: number[] = [];
  for (const row of all) {
    row.forEach((cell, i) => {
      widths[i] = Math.max(widths[i] ?? 0, textWidth(cell));
    });
  }
  const line = (row: readonly string[]): string =>
    row
      .map((cell, i) => {
        const pad = " ".repeat((widths[i] ?? 0) - textWidth(cell));
        return columns[i]?.right ? pad + cell : cell + pad;
      })
      .join("  ")
      .trimEnd();
  return all.map(line).join("\n");
}

/** Cut to a number of columns, with a mark where something is missing. */
export function cutTo(text: string, columns: number): string {
  if (textWidth(text) <= columns) return text;
  let out = "";
  for (const c of text) {
    if (textWidth(out + c) > columns - 1) break;
    out += c;
  }
  return `${out}\u2026`;
}

/** The nearest of some words by edit distance, if it is near enough to be a slip. */
export function nearest(word: string, words: readonly string[]): string | null {
  let best: string | null = null;
  let least = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const other of words) {
    const d = distance(word, other);
    if (d < least) {
      least = d;
      best = other;
    }
  }
  return best;
}

/** Damerau-Levenshtein with adjacent swaps. */
function distance(a: string, b: string): number {
  let older: number[] = [];
  let old = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1;
      let d = Math.min((old[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (old[j - 1] ?? 0) + same);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) d = Math.min(d, (older[j - 2] ?? 0) + 1);
      row.push(d);
    }
    older = old;
    old = row;
  }
  return old[b.length] ?? 0;
}
