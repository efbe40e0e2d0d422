/**
 * Rows that are sometimes shown without their prompt, so that answers are learnt with and without a condition:
 * condition dropping, as in Ho and Salimans 2022, https://arxiv.org/abs/2207.12598. Of a prompt its first token stays,
 * so that every token of the answer has one before it.
 */
import { collate, type TokenBatch } from "../../data/batch.ts";
import { Random } from "../../data/random.ts";
import type { Sequence } from "../../data/sequences.ts";
import type { BatchSource } from "./batch-source.ts";
import { EVEN, lastPlace, type PromptCourse } from "./prompt-course.ts";

/** The sequence without what comes before its first token that counts, but for the first of all. */
export function withoutPrompt(sequence: Sequence): Sequence {
  const { ids, labels, marks } = sequence;
  const answer = labels.findIndex((label, i) => i > 0 && label >= 0);
  if (answer < 2) return sequence;
  const cut = (values: Int32Array) => Int32Array.from([values[0]!, ...values.subarray(answer)]);
  return { ...sequence, ids: cut(ids), labels: cut(labels), ...(marks ? { marks: cut(marks) } : {}) };
}

export interface ChangeOptions {
  readonly chance: number;
  readonly seed: number;
  readonly pad: number;
  readonly course?: PromptCourse;
}

/** A row with a changed prompt, as it weighs; the weight is left out where it is 1. */
export const weighing = (made: Sequence, weight: number): Sequence => (weight === 1 ? made : { ...made, weight });

/** The batches of `source`, each row without its prompt with this chance, by seed, epoch and row. */
export function promptDropped(
  source: BatchSource<TokenBatch>,
  { chance, seed, pad, course = EVEN }: ChangeOptions,
): BatchSource<TokenBatch> {
  return {
    ...source,
    async next() {
      const { batch, epoch } = await source.next();
      const place = lastPlace(source);
      const [now, weight] = [chance * course.share(place), course.weight(place)];
      const bins: Sequence[][] = Array.from({ length: batch.rows }, () => []);
      for (const { sequence, row } of batch.documents) {
        const isDropped = new Random(seed, "prompt", epoch, sequence.place).uniform() < now;
        const made = isDropped ? withoutPrompt(sequence) : sequence;
        bins[row]!.push(made === sequence ? sequence : weighing(made, weight));
      }
      return { batch: collate(bins, { pad }), epoch };
    },
  };
}
