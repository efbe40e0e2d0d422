/** What --reward-weights says. */
import { UserError } from "../../../errors.ts";
import type { Bound } from "../../../method/bind.ts";
import type { RewardTerm } from "../../verifying/rewards.ts";
import type { PolicyMethod, SharedValues } from "../contract.ts";
import { ConstrainedWeights } from "./constrained.ts";
import type { RewardWeights } from "./contract.ts";
import { GradientWeights } from "./gradient.ts";
import { HypervolumeWeights } from "./hypervolume.ts";
import { ThresholdSearch, type Tuning } from "./threshold-search.ts";

const FIXED = "or leave --reward-weights out";

function checkHypervolume(values: SharedValues): void {
  const { scale_rewards: by, combine, whiten } = values;
  if (by !== "none" || combine !== "sum" || whiten)
    throw new UserError(
      "--reward-weights hypervolume multiplies rewards, and a division by their deviation takes that away again",
      "give --scale-rewards none, --combine sum and no --whiten",
    );
}

function checkConstrained({ method, values: own }: Bound<PolicyMethod>, terms: readonly RewardTerm[]): void {
  const values: SharedValues = own;
  const { thresholds = [], kl, kl_in: where, overlong } = values;
  if (method.greedy)
    throw new UserError(
      `${method.name} has one baseline for the sum of rewards, and --reward-weights constrained takes each alone`,
      "take ppo, grpo, rloo or reinforce",
    );
  if (thresholds.length !== terms.length)
    throw new UserError(
      `--thresholds names ${thresholds.length} means, and there are ${terms.length} rewards: ${terms.map(({ name }) => name).join(", ")}`,
      "give one for each, in their order",
    );
  if (terms.some(({ weight }) => weight !== 1))
    throw new UserError("--reward-weights constrained learns the weights of rewards", "leave those of --reward out");
  if (overlong > 0)
    throw new UserError(
      "--reward-weights constrained takes rewards alone, and --overlong is none",
      "take the verifier overlong for a --reward, with a threshold",
    );
  if (kl === 0 || where !== "reward")
    throw new UserError(
      "--reward-weights constrained weighs rewards against the divergence from the model as it was",
      "give --kl 0.05 --kl-in reward",
    );
}

function checkGradient({ method }: Bound<PolicyMethod>, terms: readonly RewardTerm[]): void {
  if (method.value || method.greedy || method.pairs || method.traits || method.range || method.modes)
    throw new UserError(
      `${method.name} does more with rewards than advantages, and --reward-weights gradient takes the gradient of each alone`,
      "take grpo, rloo or reinforce",
    );
  const [idle] = terms.filter(({ weight }) => weight === 0);
  if (idle)
    throw new UserError(
      `--reward-weights gradient weighs every reward, and ${idle.name} has weight 0`,
      "leave it out, or give it another weight",
    );
}

/** Throws UserError for what cannot be weighed so. */
export function checkRewardWeights(chosen: Bound<PolicyMethod>, terms: readonly RewardTerm[]): void {
  const values: SharedValues = chosen.values;
  const { reward_weights: kind } = values;
  if (kind === "fixed") return;
  if (chosen.method.choice)
    throw new UserError(`${chosen.method.name} chooses answers, which --reward-weights does not change`, FIXED);
  if (kind === "hypervolume") checkHypervolume(values);
  else if (kind === "gradient") checkGradient(chosen, terms);
  else checkConstrained(chosen, terms);
}

export interface WeighingSetup {
  readonly seed: number;
  /** Whether measurements are of held-out prompts. */
  readonly held?: boolean;
  /** Of a search for thresholds: the last terms are those of its gold score. */
  readonly tuning?: Tuning | undefined;
}

/** Undefined where weights stay as they are. */
export function chooseRewardWeights(
  values: SharedValues,
  terms: readonly Pick<RewardTerm, "name" | "weight">[],
  { seed, held = false, tuning }: WeighingSetup,
): RewardWeights | undefined {
  const { reward_weights: kind, thresholds = [], constraint, hypervolume_every: every } = values;
  if (kind === "fixed") return undefined;
  if (kind === "hypervolume")
    return new HypervolumeWeights(
      terms.map(({ weight }) => weight),
      held ? 1 : every,
    );
  const names = terms.map(({ name }) => name);
  if (kind === "gradient") return new GradientWeights(names, values.gradient_rate);
  const { multiplier_lr: rate, multiplier_momentum: momentum } = values;
  const rewards = names.slice(0, thresholds.length);
  const setup = { names: rewards, thresholds, constraint, rate, momentum, seed };
  return tuning ? new ThresholdSearch(setup, tuning) : new ConstrainedWeights(setup);
}
