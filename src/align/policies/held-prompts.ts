/** Held-out prompts that a model answers between rollouts, judged as those are: what a run measures itself by. */
import { answered } from "../../run/generating/answers.ts";
import type { Rollout, RolloutOptions, Rollouts } from "../../run/generating/rollouts.ts";
import { type RewardTerm, scoreAll } from "../verifying/rewards.ts";
import { meanOf } from "./advantages.ts";
import type { SharedValues } from "./contract.ts";
import type { Likelihoods } from "./likelihoods.ts";
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
  /** The model as it was, where answers are ranked by it. */
  readonly reference?: { readonly scores: Likelihoods; readonly rows: number; readonly pad: number } | undefined;
}

/** Answers to the held-out prompts, --group to each, one prompt after the other. */
export interface HeldAnswers {
  readonly answers: readonly Rollout[];
  readonly parts: readonly (readonly (number | null)[])[];
  /** Log-probabilities of their tokens under the model as it was, where it is held. */
  readonly reference: readonly ArrayLike<number>[] | undefined;
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
    const { parts } = await scoreAll(terms, judged, signal);
    return { answers, parts, reference: await this.#reference(answers) };
  }

  async #reference(answers: readonly Rollout[]): Promise<Float32Array[] | undefined> {
    const { reference, prompts, values } = this.#setup;
    if (!reference) return undefined;
    const asked = answers.map((_, i) => prompts[Math.floor(i / values.group)]!);
    const none = { ids: new Int32Array(), labels: new Int32Array(), group: 0 };
    const sequences = answers.map(({ ids }, i) => answered({ ...none, place: asked[i]!.place }, asked[i]!.ids, ids));
    const from = asked.map(({ ids }) => ids.length);
    const scored = await reference.scores.of(sequences, from, reference);
    return scored.map(({ logProbs }) => logProbs);
  }

  /** Of every term. */
  async means(): Promise<number[]> {
    const { parts } = await this.answers();
    return this.#setup.terms.map((_, k) => meanOf(parts.flatMap((row) => row[k] ?? [])));
  }
}
