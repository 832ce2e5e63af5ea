import type { Values } from "./read.ts";
import { type Row, type Section, type Value, wanted } from "./row.ts";
import { SECTIONS, sectionNames } from "./sections.ts";

const WIDTH = 118;

const literal = (value: Value): string => (typeof value === "string" ? JSON.stringify(value) : String(value));

/** The settings as a file that would make them, with what each means as comments. @param from where they come from, in words */
export function settingsToml(values: Values, from: string): string {
  const parts = sectionNames.map((name) => {
    const { about, rows }: Section = SECTIONS[name];
    const lines = Object.entries(rows).map(([key, row]) => entry(key, row, values[name][key] ?? row.default));
    return `${comment(about)}\n[${name}]\n\n${lines.join("\n\n")}\n`;
  });
  return [`${comment(from)}\n`, ...parts].join("\n");
}

function entry(key: string, row: Row, value: Value): string {
  const usual = value === row.default ? "the default" : `default ${literal(row.default)}`;
  return [comment(row.does), comment(row.trade), comment(`${wanted(row)}; ${usual}`), `${key} = ${literal(value)}`].join("\n");
}

/** Lines that begin with `# `, cut at words. */
function comment(text: string): string {
  const lines: string[] = [];
  for (const word of text.replace(/[\u0000-\u001f\u007f]/g, "?").split(" ")) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= WIDTH) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(`# ${word}`);
  }
  return lines.join("\n");
}

/** The tables of docs/configuration.md. */
export function settingsMarkdown(): string {
  const cell = (text: string): string => text.replaceAll("|", "\\|").replaceAll("*", "\\*");
  const parts = sectionNames.map((name) => {
    const { about, rows }: Section = SECTIONS[name];
    const lines = Object.entries(rows).map(
      ([key, row]) => `| \`${key}\` | ${wanted(row)} | \`${literal(row.default)}\` | ${cell(row.does)} | ${cell(row.trade)} |`,
    );
    const head = ["| key | want | default | does | trade-off |", "|---|---|---|---|---|"];
    return [`### [${name}]`, "", about, "", ...head, ...lines, ""].join("\n");
  });
  return parts.join("\n");
}
