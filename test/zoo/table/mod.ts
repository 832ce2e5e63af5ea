import type { Program } from "../program.ts";
import { LANGUAGES } from "./languages.ts";
import { MEDIA } from "./media.ts";
import { SERVICES } from "./services.ts";
import { SHELLS } from "./shells.ts";
import { TOOLS } from "./tools.ts";

/** All programs of the zoo, by their kind. */
export const ZOO: readonly Program[] = [...SHELLS, ...LANGUAGES, ...TOOLS, ...SERVICES, ...MEDIA];
