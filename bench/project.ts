import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** How large it is, and how its compiler is told to do it. */
export interface ProjectSize {
  readonly files: number;
  /** In each file. */
  readonly functions: number;
  readonly flags: string;
}
const SMALL: ProjectSize = { files: 60, functions: 60, flags: "-O1" };

/** Writes a C project of many small files, a Makefile and nothing that is random: each build of it does the same work. */
export function writeProject(dir: string, { files, functions, flags }: ProjectSize = SMALL): void {
  mkdirSync(dir, { recursive: true });
  const names = Array.from({ length: files }, (_, i) => `part${i}`);
  for (const [i, name] of names.entries()) writeFileSync(join(dir, `${name}.c`), source(name, i, functions));
  writeFileSync(join(dir, "parts.h"), names.map((name) => `unsigned ${name}(unsigned x);\n`).join(""));
  const calls = names.map((name) => `    x = ${name}(x);\n`).join("");
  writeFileSync(
    join(dir, "main.c"),
    `#include <stdio.h>\n#include "parts.h"\nint main(void) {\n    unsigned x = 1;\n${calls}    printf("%u\\n", x);\n    return 0;\n}\n`,
  );
  writeFileSync(
    join(dir, "Makefile"),
    `CFLAGS = ${flags}\nOBJECTS = ${["main", ...names].map((name) => `${name}.o`).join(" ")}
program: $(OBJECTS)\n\t$(CC) -o $@ $(OBJECTS)\n$(OBJECTS): parts.h Makefile\nclean:\n\trm -f program $(OBJECTS)\n`,
  );
}

function source(name: string, seed: number, functions: number): string {
  const one = (n: number): string => `static unsigned step${n}(unsigned x, const char *text) {
    char line[64];
    unsigned sum = ${seed * functions + n};
    snprintf(line, sizeof line, "%s %u", text, x);
    for (size_t i = 0; i < strlen(line); i++) sum = sum * 31 + (line[i] ^ (x >> (i & 15)));
    return sum;
}
`;
  const numbers = Array.from({ length: functions }, (_, n) => n);
  const body = numbers.map((n) => `    x = step${n}(x, "${name} ${n}");\n`).join("");
  const includes = ["stdio.h", "string.h", "stdlib.h", "math.h", "pthread.h"].map((h) => `#include <${h}>\n`).join("");
  return `${includes}#include "parts.h"\n${numbers.map(one).join("")}unsigned ${name}(unsigned x) {\n${body}    return x;\n}\n`;
}
