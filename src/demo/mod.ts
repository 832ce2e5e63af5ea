/** The main job on an embedded cluster, for people to watch. */
export { type DemoOptions, runDemo } from "./demo.ts";
export type { Output } from "./screen.ts";
