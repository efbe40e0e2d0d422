/** A model that answers the rows of tasks: its accuracy, and samples with how likely each is under another. */
import { collate } from "../../data/batch.ts";
import type { Sequence } from "../../data/sequences.ts";
import type { Model } from "../../model/model.ts";
import { answered } from "../../run/generating/answers.ts";
import { type Rollout, Rollouts } from "../../run/generating/rollouts.ts";
import { Scorer } from "../../run/scoring/scorer.ts";
import { isRight, type TaskRow } from "./tasks.ts";

/** Answers that are written at once. */
const AT_ONCE = 256;

export interface AnsweringSetup {
  readonly model: Model;
  readonly ends: readonly number[];
  readonly pad: number;
  /** Most tokens of an answer. */
  readonly maxTokens: number;
  readonly seed: number;
  readonly signal: AbortSignal;
}

export class Answering {
  readonly #setup: AnsweringSetup;
  readonly #rollouts: Rollouts;
  readonly #scorer: Scorer;

  constructor(setup: AnsweringSetup) {
    this.#setup = setup;
    this.#rollouts = new Rollouts(setup.model, undefined);
    this.#scorer = new Scorer(setup.model);
  }

  /** `group` answers to each row; `key` distinguishes the draws from all others. */
  sample(rows: readonly TaskRow[], group: number, key: string, temperature = 1): Promise<Rollout[]> {
    const { ends, maxTokens, seed, signal } = this.#setup;
    const prompts = rows.map(({ prompt, sequence }, i) => {
      return { ids: prompt, key: `${key} ${i}`, name: sequence.place };
    });
    return this.#rollouts.sample(prompts, {
      ...{ group, temperature, maxTokens, ends, stops: [], seed, signal, rows: Math.max(group, AT_ONCE) },
    });
  }

  /** Share of rows whose greedy answer is right. */
  async accuracy(rows: readonly TaskRow[]): Promise<number> {
    const said = await this.sample(rows, 1, "greedy", 0);
    return said.filter(({ ids }, i) => isRight(ids, rows[i]!, this.#setup.ends)).length / rows.length;
  }

  /** log p of answers, each to a row's prompt, at temperature 1. */
  async logProbs(rows: readonly TaskRow[], answers: readonly (readonly number[])[]): Promise<number[]> {
    const sequences = answers.map((ids, i) => sequenceOf(rows[i]!, ids));
    const found: number[] = [];
    for (let from = 0; from < sequences.length; from += AT_ONCE) {
      const part = sequences.slice(from, from + AT_ONCE);
      const batch = collate(
        part.map((sequence) => [sequence]),
        { pad: this.#setup.pad },
      );
      const { nll } = await this.#scorer.score(batch);
      for (const row of part.keys())
        found.push(-nll.subarray(row * batch.length, (row + 1) * batch.length).reduce((a, b) => a + b, 0));
    }
    return found;
  }

  async free(): Promise<void> {
    this.#rollouts.free();
    await this.#scorer.free();
  }
}

/** A row's prompt with another answer, of which the answer counts. */
export const sequenceOf = ({ sequence, prompt }: TaskRow, ids: readonly number[], weight = 1): Sequence => ({
  ...answered(sequence, prompt, ids),
  weight,
});
