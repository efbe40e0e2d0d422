/**
 * A method together with its settings, so that code which handles all methods of a kind alike need not know their
 * types.
 */
import type { MethodInfo } from "./registry.ts";

export interface Bound<M extends MethodInfo = MethodInfo> {
  readonly method: M;
  /** The checked values of `method.options`. Any method takes them as its own: only `bind` makes them. */
  readonly values: never;
}

/**
 * Binds a method to the checked values of its options. The one place where the types of a method's options are
 * forgotten.
 *
 *   const { method, values } = bind(await loadMethod("schedule", "cosine"), { warmup: 10, min_ratio: 0 });
 *   method.rate(1, { lr: 1e-3, steps: 100, values });
 */
export const bind = <M extends MethodInfo>(method: M, values: Readonly<Record<string, unknown>>): Bound<M> => ({
  method,
  values: values as never,
});

/** Binds a method to its defaults and to what is given besides. */
export const bindDefaults = <M extends MethodInfo>(
  method: M,
  given: Readonly<Record<string, unknown>> = {},
): Bound<M> =>
  bind(
    method,
    Object.fromEntries(
      Object.entries(method.options).map(([name, { default: value }]) => [name, given[name] ?? value]),
    ),
  );
