/** Held-out prompts that a model answers between rollouts, judged as those are: what a run measures itself by. */
import type { Rollout, RolloutOptions, Rollouts } from "../../run/generating/rollouts.ts";
import { type RewardTerm, scoreAll } from "../verifying/rewards.ts";
import { meanOf } from "./advantages.ts";
import type { SharedValues } from "./contract.ts";
import type { PolicyPrompt } from "./prompts.ts";

export interface HeldPromptsSetup {
  readonly prompts: readonly PolicyPrompt[];
  readonly terms: readonly RewardTerm[];
  readonly rollouts: Rollouts;
  readonly values: SharedValues;
  /** Prompts that are answered at once: as many as a rollout has, whose memory is planned. */
  readonly size: number;
  readonly ends: readonly number[];
  readonly seed: number;
  readonly signal: AbortSignal;
}

/** Answers to the held-out prompts, --group to each, one prompt after the other. */
export interface HeldAnswers {
  readonly answers: readonly Rollout[];
  readonly parts: readonly (readonly (number | null)[])[];
}

/** Draws are alike in every measurement, so that two of them differ by the model alone. */
export class HeldPrompts {
  readonly #setup: HeldPromptsSetup;

  constructor(setup: HeldPromptsSetup) {
    this.#setup = setup;
  }

  get count(): number {
    return this.#setup.prompts.length;
  }

  async answers(temperature = this.#setup.values.temperature): Promise<HeldAnswers> {
    const { prompts, terms, rollouts, values, size, ends, seed, signal } = this.#setup;
    const { group, max_new_tokens: maxTokens, stop: stops = [], rollout_rows: rows } = values;
    const how: RolloutOptions = { group, temperature, maxTokens, ends, stops, seed, signal, ...(rows ? { rows } : {}) };
    const answers: Rollout[] = [];
    for (let from = 0; from < prompts.length; from += size) {
      // As many as the memory is planned for; those that come round again are left out.
      const drawn = Array.from({ length: size }, (_, i) => (from + i) % prompts.length);
      const asked = drawn.map((i) => ({ ids: prompts[i]!.ids, key: `held ${i}`, name: prompts[i]!.place }));
      answers.push(...(await rollouts.sample(asked, how)).slice(0, (prompts.length - from) * group));
    }
    const judged = answers.map(({ text: answer, ids, truncated }, i) => {
      const { text: prompt, row, place } = prompts[Math.floor(i / group)]!;
      return { prompt, answer, tokens: ids.length, truncated, row, place };
    });
    return { answers, parts: (await scoreAll(terms, judged, signal)).parts };
  }

  /** Of every term. */
  async means(): Promise<number[]> {
    const { parts } = await this.answers();
    return this.#setup.terms.map((_, k) => meanOf(parts.flatMap((row) => row[k] ?? [])));
  }
}
