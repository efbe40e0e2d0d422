/** What rollouts are made with, and what one gives. */
import type { Bound } from "../../method/bind.ts";
import type { Rollouts } from "../../run/generating/rollouts.ts";
import type { RewardTerm } from "../verifying/rewards.ts";
import type { PolicyMethod } from "./contract.ts";
import type { Efforts } from "./efforts.ts";
import type { DrawnPrompt, HeldRollout, RolloutLine, RolloutSpeed } from "./held-rollout.ts";
import type { LengthLimit, SolvedPrompt } from "./length-stages.ts";
import type { Likelihoods } from "./likelihoods.ts";
import type { PolicyPrompt } from "./prompts.ts";
import type { RewardWeights } from "./reward-weights/contract.ts";
import type { GradientProducts } from "./reward-weights/gradient-products.ts";

export interface RolloutSetup {
  readonly chosen: Bound<PolicyMethod>;
  readonly prompts: readonly PolicyPrompt[];
  readonly terms: readonly RewardTerm[];
  readonly rollouts: Rollouts;
  /** Scores with the policy that samples, where its log-probabilities are asked for. */
  readonly policy: Likelihoods | undefined;
  /** The model as it was, where the divergence from it counts. */
  readonly reference: Likelihoods | undefined;
  /** Where prompts ask for a share of their usual length. */
  readonly efforts?: Efforts | undefined;
  /** Ids of the method's modes. */
  readonly modes?: readonly number[] | undefined;
  /** What changes the weights of rewards. */
  readonly weights?: RewardWeights | undefined;
  /** Inner products of gradients, for weights that ask. */
  readonly products?: GradientProducts | undefined;
  /** Prompts of a rollout. */
  readonly size: number;
  /** Rows that are scored at once. */
  readonly rows: number;
  readonly ends: readonly number[];
  readonly pad: number;
  readonly seed: number;
  readonly signal: AbortSignal;
  /** Resolves once the GPU has done what was asked of it before. */
  readonly settled: () => Promise<unknown>;
}

export interface MadeRollout {
  readonly held: HeldRollout;
  readonly lines: RolloutLine[];
  /** The prompt of each group of lines. */
  readonly drawn: readonly DrawnPrompt[];
  readonly speed: RolloutSpeed;
  /** Of every term, over all answers that it judges. */
  readonly means: readonly number[];
  /** The prompts that were drawn. */
  readonly solved: readonly SolvedPrompt[];
}

/** What changes from rollout to rollout. */
export interface RolloutTurn {
  /** Weight of the divergence in rewards. */
  readonly kl?: number;
  readonly before?: HeldRollout | undefined;
  /** Of sampling, and of likelihoods. */
  readonly temperature?: number;
  readonly limit?: LengthLimit | undefined;
}
