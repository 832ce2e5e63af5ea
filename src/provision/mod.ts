/** Machines that are no nodes yet: brings the package to them, and makes them nodes. */
export { bringUp, type BringUp, type Brought } from "./bring-up.ts";
export { packageFiles } from "./package-files.ts";
