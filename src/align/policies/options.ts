/** Options of every policy-gradient method: rollouts, rewards, the surrogate and how its terms are averaged. */
import type { Options } from "../../method/options.ts";
import { REWARDS } from "../verifying/options.ts";
import { EFFORTS } from "./efforts.ts";
import { ENTROPY_TARGET, LENGTH_STAGES } from "./pacing-options.ts";
import { REWARD_WEIGHTS } from "./reward-weights/options.ts";

export const POLICY = {
  ...REWARDS,
  group: { type: "number.integer >= 1", default: 8, help: "answers to each prompt", value: "G" },
  prompts_per_step: {
    type: "number.integer >= 1",
    help: "prompts of a rollout; as many as one update reads (--batch-size x --accumulate / --group) when left out",
    value: "N",
  },
  updates: { type: "number.integer >= 1", default: 1, help: "passes over every rollout", value: "N" },
  max_new_tokens: { type: "number.integer >= 1", default: 64, help: "most tokens of an answer", value: "N" },
  temperature: { type: "number > 0", default: 1, help: "of sampling, and of all likelihoods", value: "T" },
  stop: { type: "string[]", help: "text that ends an answer; may be given several times", value: "TEXT" },
  rollout_rows: {
    type: "number.integer >= 1",
    decides: "nothing",
    help: "answers that are written at once, in whole groups; all of a rollout when left out",
    value: "N",
  },
  rollouts: {
    type: "string",
    decides: "nothing",
    writes: "text",
    help: "file for all answers with their rewards and advantages (JSONL)",
    value: "FILE",
  },
  ratio: {
    type: "'token' | 'sequence' | 'product'",
    default: "token",
    help: "importance of a token: its own, the geometric mean of its answer's (GSPO), or their product",
  },
  clip_low: { type: "0 <= number <= 1", default: 0.2, help: "how far a ratio counts below 1", value: "X" },
  clip_high: { type: "number >= 0", default: 0.2, help: "how far a ratio counts above 1", value: "X" },
  clip_delta: {
    type: "number > 1",
    help: "largest ratio where the advantage is negative, known as dual clip; no bound when left out",
    value: "C",
  },
  aggregate: {
    type: "'seq-mean' | 'token-mean' | 'seq-sum-norm' | 'global-token' | 'seq-sum'",
    default: "seq-mean",
    help: "mean of answers' means, of a micro-batch's tokens, of sums / --max-new-tokens, of an update's tokens, or of answers' sums",
  },
  scale_rewards: {
    type: "'group' | 'batch' | 'none'",
    default: "group",
    help: "the standard deviation that divides advantages: that of their group, of the rollout, or none",
  },
  combine: {
    type: "'sum' | 'normalized'",
    default: "sum",
    help: "several rewards: their sum, or each normalised within its group first",
  },
  advantage_eps: { type: "number > 0", default: 1e-6, help: "added to standard deviations", value: "X" },
  whiten: { type: "boolean", default: false, help: "advantages of a rollout with mean 0 and variance 1" },
  kl: { type: "number >= 0", default: 0, help: "weight of the divergence from the model as it was", value: "BETA" },
  kl_target: {
    type: "number > 0",
    help: "adapt --kl so that answers diverge by so many nats; fixed when left out",
    value: "NATS",
  },
  kl_horizon: {
    type: "number > 0",
    default: 10_000,
    needs: "kl_target",
    help: "answers in which --kl may change by a fifth",
    value: "N",
  },
  kl_estimator: {
    type: "'k1' | 'k2' | 'k3'",
    default: "k3",
    help: "how it is estimated: d, d^2/2 or exp(-d) + d - 1 of the log-ratio d",
  },
  kl_in: {
    type: "'loss' | 'reward'",
    default: "loss",
    help: "a term of the loss, or taken off the rewards, which always is k1",
  },
  kl_unbiased: { type: "boolean", default: false, help: "multiply the divergence by the ratio" },
  entropy_weight: {
    type: "number >= 0",
    default: 0,
    help: "weight of the mean entropy, nats a token, that the loss raises",
    value: "W",
  },
  mask_truncated: { type: "boolean", default: false, help: "answers that were cut do not count" },
  dynamic_sampling: {
    type: "boolean",
    default: false,
    help: "only groups whose rewards differ; more prompts are drawn in the place of others",
  },
  dynamic_rounds: {
    type: "number.integer >= 0",
    default: 3,
    help: "most further draws of --dynamic-sampling for a rollout",
    value: "N",
  },
  overlong: {
    type: "number.integer >= 0",
    default: 0,
    help: "last tokens of --max-new-tokens over which a penalty grows to 1; 0: none",
    value: "N",
  },
  pair_weight: {
    type: "number >= 0",
    default: 0,
    help: "weight of a loss of the best and the worst answer to each prompt beside the policy's: that of mpo, or --pair-loss",
    value: "W",
  },
  pair_beta: {
    type: "number > 0",
    default: 0.1,
    needs: "pair_weight",
    help: "how firmly pairs hold the model to what it was",
    value: "BETA",
  },
  buffer: {
    type: "'none' | 'ssb'",
    default: "none",
    help: "answers that teach nothing give way to earlier ones that do: a selective sample buffer",
  },
  buffer_size: {
    type: "number.integer >= 1",
    with: { buffer: "ssb" },
    help: "most answers that are kept; those of four rollouts when left out",
    value: "N",
  },
  buffer_age: {
    type: "number.integer >= 1",
    default: 4,
    with: { buffer: "ssb" },
    help: "rollouts after which an answer is too old",
    value: "N",
  },
  held_prompts: {
    type: "string[]",
    help: "held-out prompts that the model answers between rollouts, where something is chosen by what comes of them",
    value: "FILE",
  },
  ...EFFORTS,
  ...ENTROPY_TARGET,
  ...LENGTH_STAGES,
  ...REWARD_WEIGHTS,
} as const satisfies Options;
