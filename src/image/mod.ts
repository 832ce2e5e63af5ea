export * from "./areas.ts";
export * from "./image.ts";
export * from "./rseq.ts";
export * from "./sigframe.ts";
export * from "./skeleton.ts";
export * from "./stub.ts";
export * from "./layout.ts";
export * from "./pages.ts";
