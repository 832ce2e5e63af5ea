/** All calls with a handler of their own. */
import { descriptors } from "./descriptors.ts";
import { files } from "./files.ts";
import { memory } from "./memory.ts";
import { polls } from "./poll.ts";
import { sleeps } from "./sleep.ts";
import type { Specials } from "./special.ts";
import { transfers } from "./transfer.ts";
import { vectors } from "./vectors.ts";

export const SPECIALS: Specials = { ...transfers, ...vectors, ...files, ...descriptors, ...memory, ...polls, ...sleeps };
