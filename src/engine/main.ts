/** Where tesela-engine begins. The other modules are most of a start: on a node that is busy they are not to wait either. */
import { answerSoon } from "../sys/mod.ts";

answerSoon();
await import("./run-engine.ts");
