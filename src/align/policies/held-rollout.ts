/** What is kept of a rollout: in the state of a training, in the file of all answers, and in the log. */
import { isObject, type Json } from "../../json.ts";
import type { UsualLengths } from "./efforts.ts";

/** A prompt that was drawn for a rollout. */
export interface DrawnPrompt {
  /** Position among all prompts. */
  readonly prompt: number;
  readonly epoch: number;
  /** Share of its usual length that it asks for. */
  readonly effort?: number;
}

/** An answer of a rollout, as JSON. */
export interface HeldAnswer {
  readonly prompt: number;
  /** Share of its usual length that the prompt asked for. */
  readonly effort?: number;
  readonly ids: readonly number[];
  /** One for the answer, or one for each token. */
  readonly advantage: number | readonly number[];
  /** Log-probabilities under the policy that sampled, where they are asked for. */
  readonly old?: readonly number[];
  /** Those of the model as it was. */
  readonly reference?: readonly number[];
  /** What the value head foretold at each token, of one reward or several, and what followed. */
  readonly estimates?: readonly number[];
  readonly returns?: readonly number[];
  /** What the method says of each token. */
  readonly traits?: readonly number[];
  /** Of a truncated answer that is masked, and of one that fills up the rollout alone. */
  readonly uncounted?: true;
  readonly isFiller?: true;
  /** 1 of the best answer to its prompt, -1 of the worst, where they are a pair. */
  readonly pair?: 1 | -1;
  /** Of one that a buffer gave: the rollout that it was sampled in. */
  readonly rollout?: number;
}

/** A rollout, as JSON. */
export interface HeldRollout {
  /** From 1. */
  readonly number: number;
  readonly epoch: number;
  readonly answers: readonly HeldAnswer[];
  /** Usual lengths after it, where prompts ask for a share of them. */
  readonly usual?: UsualLengths;
  /** What was measured of the model as it was on every prompt, by position. */
  readonly measured?: Readonly<Record<string, number>>;
  /** What the method keeps for the next one. */
  readonly kept?: Json;
  /** What is told of it with every step that it is used in. */
  readonly told: Readonly<Record<string, number>>;
}

const areNumbers = (value: unknown): boolean => Array.isArray(value) && value.every((one) => typeof one === "number");

/** Lists of a number for each token. */
const BY_TOKEN = ["old", "reference", "estimates", "returns", "traits"] as const;

/** Whether what a state holds is an answer. */
export function isHeldAnswer(value: unknown): value is HeldAnswer {
  if (!isObject(value)) return false;
  const { prompt, ids, advantage } = value;
  const isWhole =
    Number.isSafeInteger(prompt) &&
    Number(prompt) >= 0 &&
    areNumbers(ids) &&
    (typeof advantage === "number" || areNumbers(advantage));
  return isWhole && BY_TOKEN.every((name) => value[name] === undefined || areNumbers(value[name]));
}

/** Whether what a state holds is a rollout of so many answers. */
export const isHeldRollout = (value: unknown, answers: number): value is HeldRollout =>
  isObject(value) &&
  [value.number, value.epoch].every((count) => Number.isSafeInteger(count)) &&
  isObject(value.told) &&
  Array.isArray(value.answers) &&
  value.answers.length === answers &&
  value.answers.every(isHeldAnswer);

/** How fast it was made: no part of the rollout. */
export interface RolloutSpeed {
  readonly tokens: number;
  readonly seconds: number;
  /** Of verifiers. */
  readonly judging: number;
}

/** One line of the file of all answers. */
export interface RolloutLine {
  readonly rollout: number;
  readonly place: string;
  readonly prompt: string;
  readonly answer: string;
  readonly tokens: number;
  readonly truncated: boolean;
  readonly reward: number;
  readonly rewards: Readonly<Record<string, number | null>>;
  readonly advantage: number | readonly number[];
  readonly log_prob: number;
  /** Share that the prompt asked for, and the tokens that it allows; null: any number. */
  readonly effort?: number;
  readonly effort_tokens?: number | null;
  /** Whether it was trained on. */
  readonly used: boolean;
  /** As it was read, so that `align score` judges the answer anew. */
  readonly row: Readonly<Record<string, unknown>>;
}
