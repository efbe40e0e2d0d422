/** Options of commands of `align` that let a model try rows and judge what it says. */
import type { Options } from "../../method/options.ts";
import { POLICY } from "../policies/options.ts";
import { REWARDS } from "../verifying/options.ts";

const ANSWERED = {
  ...REWARDS,
  data: { type: "string", required: true, help: "rows of prompts, with what their verifiers need", value: "FILE" },
  max_new_tokens: POLICY.max_new_tokens,
  stop: POLICY.stop,
  rows_at_once: {
    type: "number.integer >= 1",
    default: 256,
    decides: "nothing",
    help: "answers that are written at once, in whole groups",
    value: "N",
  },
} as const satisfies Options;

const ATTEMPTS = {
  ...ANSWERED,
  success: { type: "number", default: 0.5, help: "the least reward of a right answer", value: "R" },
} as const satisfies Options;

/** Of `align best-of`. */
export const BEST_OF = {
  ...ANSWERED,
  answers: { type: "number.integer >= 1", default: 8, help: "answers to each prompt", value: "N" },
  top: { type: "number.integer >= 1", default: 1, help: "how many of them are written, the best first", value: "K" },
  temperature: { ...POLICY.temperature, help: "of sampling" },
} as const satisfies Options;

/** Of `align plan`. */
export const PLAN = {
  data: { type: "string", required: true, help: "rows of bun run data errands", value: "FILE" },
  attempts: { type: "number.integer >= 1", default: 4, help: "trajectories of each task", value: "N" },
  to: {
    type: "'pairs' | 'wins'",
    default: "pairs",
    help: "a right and a wrong trajectory of each task, or all different right ones",
  },
  turns: { type: "number.integer >= 1", default: 8, help: "most messages of the planner", value: "N" },
  max_new_tokens: { ...POLICY.max_new_tokens, default: 16, help: "most tokens of a message" },
  temperature: { ...POLICY.temperature, type: "number >= 0", help: "of sampling; 0: the likeliest tokens" },
  rows_at_once: { ...ANSWERED.rows_at_once, help: "messages that are written at once" },
} as const satisfies Options;

/** Of `align filter`. */
export const FILTER = {
  ...ATTEMPTS,
  attempts: { type: "number.integer >= 1", default: 8, help: "answers to each prompt", value: "K" },
  temperature: { ...POLICY.temperature, help: "of sampling" },
  keep: {
    type: "'solvable' | 'learnable'",
    default: "solvable",
    help: "rows that some answer solves, or that some do and some do not",
  },
} as const satisfies Options;

/** Of `align prepare-steps`. */
export const STEPS = {
  ...ATTEMPTS,
  solutions: { type: "number.integer >= 2", default: 10, help: "answers to each prompt", value: "N" },
  continuations: { type: "number.integer >= 1", default: 8, help: "ways on from every step", value: "K" },
  pit: {
    type: "0 <= number < 1",
    default: 0,
    help: "share of right continuations at which a wrong answer is lost",
    value: "Q",
  },
  to: {
    type: "'pairs' | 'steps'",
    default: "pairs",
    help: "rows for --method dpo, or of all solutions with a label for each step, for --method reward-process",
  },
  right_steps: {
    type: "number.integer >= 0",
    default: 0,
    with: { to: "pairs" },
    help: "steps of right solutions to each prompt, drawn by seed, that become pairs with ways on that come out wrong",
    value: "N",
  },
  temperature: { ...POLICY.temperature, default: 0.7, help: "of sampling" },
} as const satisfies Options;
