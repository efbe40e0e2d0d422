/** The types of what a script's options choose: methods, each bound to its values. */
import type { Bound } from "./bind.ts";
import type { Options } from "./options.ts";
import type { MethodOf } from "./registry.ts";

/**
 * For each option with a `kind`, the methods that it names, in the order given; empty where nothing was named and there
 * is no default.
 *
 *   const [optimizer] = context.picks.optimizer;
 *   optimizer.method.fixed(optimizer.values);
 */
export type Picks<O extends Options> = {
  readonly [K in keyof O as O[K] extends { readonly kind: string } ? K : never]: readonly Bound<
    MethodOf<O[K]["kind"]>
  >[];
};
