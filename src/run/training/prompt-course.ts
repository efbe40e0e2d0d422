/**
 * How rows with changed prompts come and count over a training: their share may fall, and those that come may weigh
 * more and more, as learning from an answer without its own condition is the harder part. After Yu et al. 2024,
 * FaceChain-FACT, https://arxiv.org/abs/2410.12312
 */
import type { BatchSource } from "./batch-source.ts";

export interface PromptCourse {
  /** What a chance is multiplied by in a batch, by its place among those of the training, from 0. */
  share(place: number): number;
  /** What the tokens of a row with a changed prompt weigh there. */
  weight(place: number): number;
}

export interface PromptCourseOptions {
  readonly steps: number;
  readonly accumulate: number;
  /** Share of the steps at which chances are 0; they stay as they are when left out. */
  readonly until?: number | undefined;
  /** Weight at the last step; it is 1 at the first. */
  readonly weight?: number | undefined;
}

/** Both go in a line from step to step. */
export function promptCourse({ steps, accumulate, until, weight = 1 }: PromptCourseOptions): PromptCourse {
  const stepOf = (place: number) => Math.min(steps - 1, Math.floor(place / accumulate));
  return {
    share: (place) => (until === undefined ? 1 : Math.max(0, 1 - stepOf(place) / (until * steps))),
    weight: (place) => 1 + ((weight - 1) * stepOf(place)) / Math.max(1, steps - 1),
  };
}

/** The same from the first batch to the last. */
export const EVEN: PromptCourse = { share: () => 1, weight: () => 1 };

/** Place of the batch that a source gave last, among all that it gives. */
export function lastPlace(source: Pick<BatchSource<unknown>, "state" | "batchesPerEpoch">): number {
  const { epoch, batch } = source.state();
  return epoch * source.batchesPerEpoch + batch - 1;
}
