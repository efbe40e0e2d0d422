/** Models that metrics hold others against: both score the same rows. */
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { tokenClash } from "../data/same-tokens.ts";
import { UserError } from "../errors.ts";
import { bindDefaults } from "../method/bind.ts";
import { loadMethod } from "../method/registry.ts";
import type { BoundMetric } from "../run/measuring/metric.ts";
import { withReference } from "../run/rewarding/preferences.ts";
import type { Reader } from "../run/scoring/read-rows.ts";
import type { ScoredRow } from "../run/scoring/scored-row.ts";

/** An open model, by what it is to the evaluation. */
interface Named {
  readonly role: string;
  readonly ref: string;
  readonly checkpoint: Checkpoint;
  readonly reader: Reader;
}

const speakerOf = ({ ref, reader, checkpoint }: Named) => ({
  ...{ ref, outputs: reader.sizes.outputs, files: checkpoint.files },
});

/** The metrics that were asked for, else those that a technique names, else the loss and the accuracy. */
export async function metricsOr(
  asked: readonly BoundMetric[],
  usual: readonly string[] = ["loss", "accuracy"],
): Promise<readonly BoundMetric[]> {
  if (asked.length > 0) return asked;
  return Promise.all(usual.map(async (name) => bindDefaults(await loadMethod("metric", name))));
}

/** The models, by the options that name them. */
export const modelsOf = (metrics: readonly BoundMetric[]): { readonly role: string; readonly ref: string }[] =>
  metrics.flatMap(({ method: { models = [] }, values }) =>
    models.flatMap((role) => {
      const ref = (values as Readonly<Record<string, unknown>>)[role];
      return typeof ref === "string" ? [{ role, ref }] : [];
    }),
  );

/** Throws UserError where a model that likelihoods are held against, or one that is held against it, has none. */
function checkReferences(
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

/**
 * The draft of `--metric acceptance` taken out of the list of models, and given to each of the others. Throws
 * UserError where an id means another token to it than to a model that it would write ahead of, and where the models
 * that metrics name are none that can be compared.
 */
export function withDraft<M extends Named>(
  all: readonly M[],
  metrics: readonly BoundMetric[],
): (M & { readonly draft?: Checkpoint })[] {
  checkReferences(all);
  const asks = metrics.find(({ method: { models = [] } }) => models.includes("draft"));
  if (!asks) return [...all];
  const draft = all.find(({ role }) => role === "draft");
  if (!draft)
    throw new UserError(
      `--metric ${asks.method.name} is of a model and a smaller one that writes ahead of it, and there is none`,
      "name it: --draft MODEL",
    );
  const models = all.filter(({ role }) => role !== "draft");
  for (const model of models) {
    const clash = tokenClash(speakerOf(model), speakerOf(draft));
    if (clash) throw new UserError(clash.message, "a draft needs the vocabulary of the model that it writes ahead of");
    const [length, most] = [model, draft].map(({ reader }) => reader.tools?.encode.maxLength);
    if (length !== undefined && most !== undefined && length > most)
      throw new UserError(
        `${model.ref} reads rows of up to ${length} tokens, ${draft.ref} of ${most}`,
        `give --max-length ${most}`,
      );
  }
  return models.map((model) => ({ ...model, draft: draft.checkpoint }));
}

/**
 * The encoder of a metric that asks how alike texts are taken out of the list of models, and given to each of the
 * others. Throws UserError where there is none, or it reads no texts.
 */
export function withEncoder<M extends Named>(
  all: readonly M[],
  metrics: readonly BoundMetric[],
): (M & { readonly encoder?: Checkpoint })[] {
  const asks = metrics.find(({ method: { models = [] } }) => models.includes("encoder"));
  if (!asks) return [...all];
  const encoder = all.find(({ role }) => role === "encoder");
  if (!encoder)
    throw new UserError(
      `--metric ${asks.method.name} compares meanings by the states of a model, and there is none`,
      "name it: --encoder MODEL, one for all models that are measured",
    );
  if (!encoder.reader.tools?.tokenizer)
    throw new UserError(
      `--encoder ${encoder.ref} reads no texts`,
      "name a language model with its tokenizer beside its weights",
    );
  return all.filter(({ role }) => role !== "encoder").map((model) => ({ ...model, encoder: encoder.checkpoint }));
}

/** What every model says of the rows, with what the reference says beside it, where there is one. */
export function heldAgainst(
  opened: readonly { readonly role: string }[],
  scored: readonly (readonly ScoredRow[])[],
): readonly (readonly ScoredRow[])[] {
  const reference = scored[opened.findIndex(({ role }) => role === "reference")];
  return reference ? scored.map((rows) => withReference(rows, reference)) : scored;
}
