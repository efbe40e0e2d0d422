/** Lets a model try tasks, or go on from a part of an answer, and has what it says judged. */
import type { Tokenizer } from "../../data/tokenizer.ts";
import type { Model } from "../../model/model.ts";
import { Rollouts } from "../../run/generating/rollouts.ts";
import { type RewardTerm, scoreAll } from "../verifying/rewards.ts";
import type { Task } from "./tasks.ts";

/** A task with the beginning of an answer. */
export interface Begun {
  readonly task: Task;
  /** Distinguishes it from all others of the seed. */
  readonly key: string;
  /** Tokens of the answer so far, and their text. */
  readonly ids: readonly number[];
  readonly text: string;
}

/** How an answer went on. */
export interface Attempt {
  /** What was added to the beginning. */
  readonly ids: readonly number[];
  readonly text: string;
  /** Of the whole answer. */
  readonly reward: number;
  readonly isRight: boolean;
}

export interface AttemptsSetup {
  readonly model: Model;
  readonly tokenizer: Tokenizer;
  readonly terms: readonly RewardTerm[];
  readonly temperature: number;
  /** Most tokens of a whole answer: one that goes on for longer is wrong. */
  readonly maxTokens: number;
  readonly success: number;
  readonly stops: readonly string[];
  readonly rows: number;
  readonly seed: number;
  readonly signal: AbortSignal;
}

/** What `Attempts` does, for those who choose among its answers. */
export interface Trying {
  /** `count` answers to each, in its order. */
  of(begun: readonly Begun[], count: number): Promise<Attempt[][]>;
}

export class Attempts implements Trying {
  readonly #setup: AttemptsSetup;
  readonly #rollouts: Rollouts;

  constructor(setup: AttemptsSetup) {
    this.#setup = setup;
    this.#rollouts = new Rollouts(setup.model, setup.tokenizer);
  }

  async of(begun: readonly Begun[], count: number): Promise<Attempt[][]> {
    if (begun.length === 0) return [];
    const { tokenizer, terms, temperature, maxTokens, success, stops, rows, seed, signal } = this.#setup;
    const made = await this.#rollouts.sample(
      begun.map(({ task, key, ids }) => ({ ids: [...task.ids, ...ids], key, name: task.place })),
      { ...{ group: count, temperature, maxTokens, ends: tokenizer.ends, stops, seed, rows, signal } },
    );
    const of = (i: number) => begun[Math.floor(i / count)]!;
    const answers = made.map(({ text, ids, truncated }, i) => {
      const { task, text: before, ids: first } = of(i);
      const tokens = first.length + ids.length;
      return {
        ...{ prompt: task.text, answer: before + text, tokens, row: task.row, place: task.place },
        truncated: truncated || tokens > maxTokens,
      };
    });
    const { rewards } = await scoreAll(terms, answers, signal);
    const attempts = made.map(({ ids, text }, i): Attempt => {
      const reward = rewards[i]!;
      return { ids, text, reward, isRight: reward >= success && answers[i]!.tokens <= maxTokens };
    });
    return begun.map((_, i) => attempts.slice(i * count, (i + 1) * count));
  }

  free(): void {
    this.#rollouts.free();
  }
}

/** The tasks themselves, of which nothing is answered yet. */
export const unbegun = (tasks: readonly Task[]): Begun[] =>
  tasks.map((task, i) => ({ task, key: `${i}`, ids: [], text: "" }));

/** Share of attempts that were right. */
export const successOf = (attempts: readonly Attempt[]): number =>
  attempts.filter(({ isRight }) => isRight).length / attempts.length;
