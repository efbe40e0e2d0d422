/**
 * Rows to forget with other labels: each is drawn once for a run, all others as likely. What is drawn is a function of
 * (seed, place of the row).
 */
import type { Example } from "../data/examples.ts";
import { Random } from "../data/random.ts";
import type { Sequence } from "../data/sequences.ts";
import { UserError } from "../errors.ts";

/** Another whole number below `count`. */
const other = (label: number, count: number, random: Random): number => (label + 1 + random.below(count - 1)) % count;

/** Throws UserError for a model of one class. */
export function relabelledExamples(examples: readonly Example[], classes: number, seed: number): Example[] {
  if (classes < 2)
    throw new UserError("rows to forget get another label, and the model has one alone", "take another method");
  return examples.map((example) =>
    example.label < 0
      ? example
      : { ...example, label: other(example.label, classes, new Random(seed, "relabel", example.place)) },
  );
}

/** What counts is another token; what is read stays. */
export function relabelledSequences(sequences: readonly Sequence[], vocabulary: number, seed: number): Sequence[] {
  return sequences.map((sequence) => {
    const random = new Random(seed, "relabel", sequence.place);
    return {
      ...sequence,
      labels: sequence.labels.map((label) => (label < 0 ? label : other(label, vocabulary, random))),
    };
  });
}
