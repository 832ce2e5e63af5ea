import type { Planner } from "./types.ts";

/** A handler that looks at the arguments first and leaves the usual case to the row's own planner. */
export interface Over {
  over(generic: Planner): Planner;
}
export type Special = Planner | Over;
export type Specials = Readonly<Record<string, Special>>;

/** Leaves the call to the row when `look` returns null. */
export const unless = (look: (...p: Parameters<Planner>) => ReturnType<Planner> | null): Over => ({
  over: (generic) => (args, mem, area, ctx) => look(args, mem, area, ctx) ?? generic(args, mem, area, ctx),
});
