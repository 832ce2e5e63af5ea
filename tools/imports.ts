/** Finds what a TypeScript file imports, by text: enough for a formatted code base, and no parser to keep up with. */

export interface Import {
  readonly specifier: string;
  /** Offset of the statement in the text. */
  readonly offset: number;
}

const STATEMENT = /^[ \t]*(?:import|export)\b(?:[^;"'`]*?\bfrom)?\s*["']([^"']+)["']/gm;
const CALL = /\b(?:import|require)\(\s*["']([^"']+)["']\s*\)/g;
const WORKER = /new URL\(\s*["'](\.[^"']+\.ts)["']\s*,\s*import\.meta\.url\s*\)/g;

/** Comments become spaces of the same length, so that offsets hold and examples in them are not taken for code. */
export function blankComments(text: string): string {
  const blank = (s: string): string => s.replace(/[^\n]/g, " ");
  // A string or a template is matched first and kept, so that "http://..." does not open a comment.
  return text.replace(/"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`|\/\*[\s\S]*?\*\/|(?<![\\/])\/\/[^\n]*/g, (token) =>
    token.startsWith("/*") || token.startsWith("//") ? blank(token) : token,
  );
}

/** Every import, export-from, dynamic import and worker file, in order of their place. */
export function importsOf(text: string): Import[] {
  const code = blankComments(text);
  const found: Import[] = [];
  for (const pattern of [STATEMENT, CALL, WORKER]) {
    for (const m of code.matchAll(pattern)) found.push({ specifier: m[1] ?? "", offset: m.index });
  }
  return found.sort((a, b) => a.offset - b.offset);
}
