/** What teacher and student say to prompts, and how well they know the answers of rows. */
import type { Sequence } from "../data/sequences.ts";
import type { Model } from "../model/model.ts";
import { promptOf } from "../run/generating/answers.ts";
import { Generator } from "../run/generating/generate.ts";
import { GREEDY } from "../run/generating/sampling.ts";
import { scoreSequences } from "../run/scoring/score-rows.ts";
import type { BatchesGiven } from "./capability.ts";

type Tokens = readonly number[];

/** A run whose teacher answers. */
export type Answering = BatchesGiven & { readonly teacher: Model };

/** Prompts that are answered, and rows that are scored, at once. */
const AT_ONCE = 32;

/** How often new prompts are sampled: more freely than answers. */
const NEW = 1;

export class Spoken {
  readonly pad: number;
  readonly #given: Answering;
  readonly #most: number;
  /** Of the teacher, which stays as it is. */
  #known: readonly number[] | undefined;

  constructor(given: Answering) {
    this.#given = given;
    this.pad = given.tools.tokenizer?.pad ?? 0;
    this.#most = given.tools.encode.maxLength!;
  }

  /** Most tokens of a row whose prompt has at most so many. */
  longest(prompt: number): number {
    return Math.min(this.#most, prompt + this.#given.options.sample_tokens + 1);
  }

  /** Greedy answers, with the token that ends them where they came to their end. */
  async answer(model: Model, prompts: readonly Tokens[]): Promise<Tokens[]> {
    const { options, tools, signal } = this.#given;
    const { eos } = tools.tokenizer ?? {};
    const generator = new Generator(model);
    const answers: Tokens[] = [];
    for (let from = 0; from < prompts.length; from += AT_ONCE) {
      signal?.throwIfAborted();
      const part = prompts.slice(from, from + AT_ONCE);
      const room = Math.max(
        1,
        Math.min(options.sample_tokens, this.#most - Math.max(...part.map((p) => p.length)) - 1),
      );
      const stop = eos === undefined ? [] : [eos];
      const found = await generator.complete(part, { ...GREEDY, maxTokens: room, stop, batch: part.length });
      for (const tokens of found) answers.push(eos !== undefined && tokens.length < room ? [...tokens, eos] : tokens);
    }
    generator.free();
    return answers;
  }

  /** So many further tokens of each beginning, sampled; `key` tells these samples from others. */
  async goOn(model: Model, beginnings: readonly Tokens[], counts: readonly number[], key: string): Promise<Tokens[]> {
    const { seed } = this.#given;
    const generator = new Generator(model);
    const found = await generator.complete(beginnings, {
      ...{ ...GREEDY, temperature: NEW, seed, keys: beginnings.map((_, i) => `${key}.${i}`) },
      ...{ maxTokens: Math.max(1, ...counts), stop: [], batch: AT_ONCE },
    });
    generator.free();
    return found.map((tokens, i) => tokens.slice(0, counts[i]));
  }

  /** The mean log-likelihood of a token of each row's own answer; 0 of a row that counts none. */
  async likelihoods(whose: "teacher" | "student", rows: readonly Sequence[]): Promise<readonly number[]> {
    if (whose === "teacher" && this.#known) return this.#known;
    const { signal = new AbortController().signal } = this.#given;
    const scored = await scoreSequences(this.#given[whose], rows, this.pad, {
      ref: `the ${whose}`,
      rows: AT_ONCE,
      signal,
    });
    const means = scored.map(({ nll }) => -nll.reduce((sum, x) => sum + x, 0) / Math.max(1, nll.length));
    if (whose === "teacher") this.#known = means;
    return means;
  }

  /** 1 for an answer that is the row's own, else 0. */
  exact(answers: readonly Tokens[], rows: readonly Sequence[]): number[] {
    const { prompt_tokens } = this.#given.options;
    return rows.map((row, i) => {
      const wanted = row.ids.subarray(promptOf(row, prompt_tokens).length);
      const answer = answers[i]!;
      return wanted.length === answer.length && wanted.every((id, t) => id === answer[t]) ? 1 : 0;
    });
  }
}
