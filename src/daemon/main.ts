/** Where teselad begins. The other modules are most of a start: on a node that is busy they are not to wait either. */
import { answerSoon } from "../sys/mod.ts";

// Nor is a program that begins here, to be placed.
answerSoon();
await import("./run-teselad.ts");
