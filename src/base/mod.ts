export * from "./assert.ts";
export * from "./bytes.ts";
export * from "./errors.ts";
export * from "./ids.ts";
export * from "./log.ts";
export * from "./paths.ts";
export * from "./text.ts";
