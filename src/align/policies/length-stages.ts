/**
 * Stages of a run, each with a larger limit of tokens. Answers that a short limit cuts do not count; at the last one
 * they do, and are worth nothing. Prompts that were always solved in a stage are left out of the next.
 * AceReason-Nemotron 1.1: Advancing Math and Code Reasoning through SFT and RL Synergy, 2025,
 * https://arxiv.org/abs/2506.13284
 */
import { UserError } from "../../errors.ts";
import { isObject, type Json } from "../../json.ts";
import type { Stateful } from "../../method/stateful.ts";
import type { SharedValues } from "./contract.ts";
import type { Group } from "./rollout-told.ts";
import { rightAnswers } from "./success.ts";

/** What holds for the answers of a rollout. */
export interface LengthLimit {
  /** Most tokens of an answer. */
  readonly tokens: number;
  /** Whether answers that it cuts do not count; else they are worth nothing. */
  readonly masks: boolean;
}

/** A prompt of a rollout, and whether all of its answers were right. */
export interface SolvedPrompt {
  readonly prompt: number;
  readonly solved: boolean;
}

export class LengthStages implements Stateful {
  readonly #stages: readonly number[];
  readonly #rollouts: number;
  readonly #prompts: number;
  /** Of the prompts that were drawn in this stage, whether they were always solved. */
  #seen = new Map<number, boolean>();
  #left: ReadonlySet<number> = new Set();

  constructor(stages: readonly number[], rollouts: number, prompts: number) {
    [this.#stages, this.#rollouts, this.#prompts] = [stages, rollouts, prompts];
  }

  /** From 0, of a rollout from 1. */
  #stage(rollout: number): number {
    return Math.min(this.#stages.length - 1, Math.floor((rollout - 1) / this.#rollouts));
  }

  limit(rollout: number): LengthLimit {
    const stage = this.#stage(rollout);
    return { tokens: this.#stages[stage]!, masks: stage < this.#stages.length - 1 };
  }

  /** Whether a prompt was left out with an earlier stage. */
  isLeftOut(prompt: number): boolean {
    return this.#left.has(prompt);
  }

  /** Hears every rollout in turn. Where a stage ends, what it always solved goes, unless nothing else is left. */
  heard(rollout: number, prompts: readonly SolvedPrompt[]): void {
    for (const { prompt, solved } of prompts) this.#seen.set(prompt, solved && this.#seen.get(prompt) !== false);
    if (this.#stage(rollout + 1) === this.#stage(rollout)) return;
    const solved = [...this.#seen].flatMap(([prompt, always]) => (always ? [prompt] : []));
    const left = new Set([...this.#left, ...solved]);
    if (left.size < this.#prompts) this.#left = left;
    this.#seen = new Map();
  }

  told(rollout: number): Record<string, number> {
    return { stage: this.#stage(rollout) + 1, limit: this.limit(rollout).tokens, left_out: this.#left.size };
  }

  state(): Json {
    return { seen: [...this.#seen].map(([prompt, always]) => [prompt, Number(always)]), left: [...this.#left] };
  }

  load(state: Json): void {
    const { seen, left } = isObject(state) ? state : {};
    const isPrompt = (own: unknown): own is number => Number.isSafeInteger(own) && (own as number) >= 0;
    const isSeen = (own: unknown): own is [number, Json] => Array.isArray(own) && own.length === 2 && isPrompt(own[0]);
    if (!Array.isArray(seen) || !Array.isArray(left) || !seen.every(isSeen) || !left.every(isPrompt))
      throw new UserError(
        "the saved prompts of --length-stages cannot be read",
        "remove the state, and align from the start",
      );
    this.#seen = new Map(seen.map(([prompt, always]) => [prompt, always === 1]));
    this.#left = new Set(left);
  }
}

/** What --length-stages asks for; undefined for one stage. Throws UserError for stages that do not grow. */
export function lengthStages(values: SharedValues, prompts: number): LengthStages | undefined {
  const { length_stages: stages, stage_rollouts: rollouts, max_new_tokens: most } = values;
  if (!stages) return undefined;
  const grow = stages.every((own, i) => Number.isInteger(own) && own > (stages[i - 1] ?? 0));
  if (!grow || stages.at(-1) !== most)
    throw new UserError(
      `--length-stages ${stages.join(",")} ${grow ? `end at another limit than --max-new-tokens ${most}` : "do not grow"}`,
      grow ? `give --max-new-tokens ${stages.at(-1)}` : "give whole numbers, each larger than the one before",
    );
  return new LengthStages(stages, rollouts, prompts);
}

/** The prompts of groups; an answer that was cut is not right. */
export const solvedPrompts = (
  groups: readonly Group[],
  weights: readonly number[],
  { stage_solved: success }: SharedValues,
): SolvedPrompt[] =>
  groups.map(({ drawn: { prompt }, answers, parts }) => {
    const right = rightAnswers({ terms: parts, weights }, { success });
    return { prompt, solved: right.every((is, i) => is && !answers[i]!.truncated) };
  });
