/**
 * Laws: properties that hold for every input. A method claims the laws of its kind in its own file; the law tests are
 * made from the claims, so no test holds a table of names.
 *
 *   laws: { equalModels: true, order: "a sequence, so order matters" }
 */

/** For each law of a kind: true if the method claims it, else the reason why it does not apply. */
export type Laws<L extends string> = Readonly<Record<L, true | string>>;

/** Names of the laws that a method claims. */
export const claimed = <L extends string>(laws: Laws<L>): L[] =>
  (Object.entries(laws) as [L, true | string][]).filter(([, claim]) => claim === true).map(([law]) => law);

/** The same claim, or the same reason against it, for every law of a kind. `laws` has their names. */
export const sameClaim = <L extends string>(laws: Readonly<Record<L, unknown>>, claim: true | string): Laws<L> =>
  Object.fromEntries(Object.keys(laws).map((law) => [law, claim])) as Record<L, true | string>;
