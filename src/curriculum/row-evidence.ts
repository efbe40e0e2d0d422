/** What selectors go by: the loss, the gradient, the mean hidden state or the tokens of every row under a model. */
import { stackExamples } from "../data/batch.ts";
import { inBatches } from "../data/dataset.ts";
import type { Example } from "../data/examples.ts";
import type { Sequence } from "../data/sequences.ts";
import { UserError } from "../errors.ts";
import type { Model } from "../model/model.ts";
import { gradientNorms } from "../run/scoring/gradient-norms.ts";
import { gradientSketches } from "../run/scoring/gradient-sketches.ts";
import { meanStates } from "../run/scoring/mean-states.ts";
import { rowFigures } from "../run/scoring/row-figures.ts";
import { rowLosses } from "../run/scoring/row-losses.ts";
import { Scorer } from "../run/scoring/scorer.ts";
import type { RowEvidence, SelectorNeed } from "./contract.ts";

export interface EvidenceOptions {
  /** Rows of a batch. */
  readonly rows: number;
  readonly pad: number;
  readonly signal: AbortSignal;
  /** Numbers of a sketch of a gradient. */
  readonly sketchWidth: number;
  readonly seed: number;
}

/** Nothing is known. */
export const NO_EVIDENCE: RowEvidence = { scores: [], states: [], sketches: [], tokens: [], figures: [], labels: [] };

async function meanLosses(
  model: Model,
  sequences: readonly Sequence[] | readonly Example[],
  options: EvidenceOptions,
): Promise<number[]> {
  const scorer = new Scorer(model);
  const losses = await rowLosses(scorer, sequences, options);
  await scorer.free();
  return losses.map(({ mean }) => mean);
}

const sketchesOf = (model: Model, sequences: readonly Sequence[], options: EvidenceOptions): Promise<Float64Array[]> =>
  gradientSketches(model, sequences, { ...options, width: options.sketchWidth });

/** softmax - onehot of every example, (classes) each. */
async function logitErrors(model: Model, examples: readonly Example[], options: EvidenceOptions) {
  const scorer = new Scorer(model, undefined, { probabilities: true });
  const errors: Float64Array[] = [];
  try {
    for await (const part of inBatches(examples, options.rows)) {
      options.signal.throwIfAborted();
      const { probabilities } = await scorer.score(stackExamples(part));
      const classes = probabilities!.length / part.length;
      for (const [row, { label }] of part.entries()) {
        const error = Float64Array.from(probabilities!.subarray(row * classes, (row + 1) * classes));
        error[label]! -= 1;
        errors.push(error);
      }
    }
  } finally {
    await scorer.free();
  }
  return errors;
}

/** The same of a classifier's examples. Throws RangeError for what is measured of text alone. */
export async function evidenceOfExamples(
  model: Model,
  examples: readonly Example[],
  needs: SelectorNeed,
  options: EvidenceOptions,
): Promise<RowEvidence> {
  const none = { ...NO_EVIDENCE, labels: examples.map(({ label }) => label) };
  if (needs === "states") return { ...none, states: await logitErrors(model, examples, options) };
  if (needs === "losses") return { ...none, scores: await meanLosses(model, examples, options) };
  throw new RangeError(`${needs} are measured of text alone`);
}

/** Measures rows of which some token counts; tokens alone need no model. */
export async function evidenceOf(
  model: Model | undefined,
  sequences: readonly Sequence[],
  needs: SelectorNeed,
  options: EvidenceOptions,
): Promise<RowEvidence> {
  const none = NO_EVIDENCE;
  if (needs === "tokens" || model === undefined) return { ...none, tokens: sequences.map(({ ids }) => ids) };
  switch (needs) {
    case "states":
      return { ...none, states: await meanStates(model, sequences, options) };
    case "losses":
      return { ...none, scores: await meanLosses(model, sequences, options) };
    case "norms":
      return { ...none, scores: await gradientNorms(model, sequences, options.pad, options.signal) };
    case "sketches":
      return { ...none, sketches: await sketchesOf(model, sequences, options) };
    case "figures": {
      const sketches = await sketchesOf(model, sequences, options);
      const found = await rowFigures(model, sequences, options);
      return { ...none, sketches, figures: found.map((row, i) => ({ ...row, norm: Math.hypot(...sketches[i]!) })) };
    }
  }
}

/**
 * Throws UserError (exit 1), naming the row, where a model gave something that is not finite. `ref` is what the model
 * is called.
 */
export function checkEvidence(
  { scores, states }: RowEvidence,
  sequences: readonly { readonly place: string }[],
  ref: string,
): void {
  const isFine = (row: number) =>
    (states[row]?.every(Number.isFinite) ?? true) && (scores.length === 0 || Number.isFinite(scores[row]));
  const odd = sequences.findIndex((_, row) => !isFine(row));
  if (odd < 0) return;
  const what = states.length > 0 ? "a hidden state" : `the score ${scores[odd]}`;
  throw new UserError(
    `${ref}: ${what} of ${sequences[odd]!.place} is not finite`,
    `bun run inspect ${ref} --check looks for NaN in its weights`,
    1,
  );
}
