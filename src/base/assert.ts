import { TeselaError } from "./errors.ts";

/** Kept in release: a broken invariant must stop the step it would corrupt. */
export function assert(condition: unknown, what: string): asserts condition {
  if (!condition) throw new TeselaError("E_INTERNAL", `assertion failed: ${what}`);
}

/** For the `default` of an exhaustive switch. */
export function unreachable(value: never): never {
  throw new TeselaError("E_INTERNAL", `unexpected value ${String(value)}`);
}

/** The value, or an internal error naming what was absent. */
export function present<T>(value: T | undefined | null, what: string): T {
  assert(value !== undefined && value !== null, `${what} is absent`);
  return value;
}
