import type { Invocation } from "../command.ts";
import { becomeLauncher } from "./run.ts";

/** Called without the launcher: becomes that, which becomes the shell. */
export const run = (call: Invocation): Promise<number> => becomeLauncher(call);
