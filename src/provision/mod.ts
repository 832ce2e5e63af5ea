/** Machines that are no nodes yet: brings the package to them, and makes them nodes; or makes this one a node. */
export { bringUp, type BringUp, type Brought } from "./bring-up.ts";
export { enrolWith, type Joined, type JoinWish, settle } from "./joiner.ts";
export { packageFiles } from "./package-files.ts";
