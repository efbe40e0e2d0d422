/** Models that metrics hold others against: both score the same rows. */
import { UserError } from "../errors.ts";
import type { BoundMetric } from "../run/measuring/metric.ts";
import { withReference } from "../run/rewarding/preferences.ts";
import type { ScoredRow } from "../run/scoring/scored-row.ts";

/** The models, by the options that name them. */
export const modelsOf = (metrics: readonly BoundMetric[]): { readonly role: string; readonly ref: string }[] =>
  metrics.flatMap(({ method: { models = [] }, values }) =>
    models.flatMap((role) => {
      const ref = (values as Readonly<Record<string, unknown>>)[role];
      return typeof ref === "string" ? [{ role, ref }] : [];
    }),
  );

/** Throws UserError where a model that likelihoods are held against, or one that is held against it, has none. */
export function checkReferences(
  opened: readonly { readonly role: string; readonly ref: string; readonly reader: { readonly tools: unknown } }[],
): void {
  if (opened.every(({ role }) => role !== "reference")) return;
  const odd = opened.find(({ reader }) => !reader.tools);
  if (odd)
    throw new UserError(
      `--reference compares likelihoods of answers, and ${odd.ref} is no language model`,
      odd.role === "reference"
        ? "name the model that training began with"
        : "leave out --reference: a reward is its own",
    );
}

/** What every model says of the rows, with what the reference says beside it, where there is one. */
export function heldAgainst(
  opened: readonly { readonly role: string }[],
  scored: readonly (readonly ScoredRow[])[],
): readonly (readonly ScoredRow[])[] {
  const reference = scored[opened.findIndex(({ role }) => role === "reference")];
  return reference ? scored.map((rows) => withReference(rows, reference)) : scored;
}
