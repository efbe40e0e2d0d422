/** The mean reward of all answers, chosen and rejected, in the steps before: a threshold that losses take. */
import { UserError } from "../../errors.ts";
import type { Controller } from "../../run/training/controller.ts";
import type { StepResult } from "../../run/training/trainer.ts";
import { REWARD_MEAN } from "./pair-loss.ts";

interface State {
  readonly mean: number;
  readonly pairs: number;
}

/** `count` says how many pairs a step had. */
export function rewardMean(count: (step: StepResult) => number = ({ counted }) => counted): Controller {
  let { mean, pairs }: State = { mean: 0, pairs: 0 };
  return {
    name: "reward mean",
    logged: true,
    values: () => ({ [REWARD_MEAN]: mean }),
    heard(step) {
      const { reward_chosen: up = 0, reward_rejected: down = 0 } = step.metrics;
      const counted = count(step);
      if (counted === 0) return;
      pairs += counted;
      mean += (((up + down) / 2 - mean) * counted) / pairs;
    },
    state: () => ({ mean, pairs }),
    load(saved) {
      const { mean: known, pairs: heard } = (saved ?? {}) as { readonly [key in keyof State]?: unknown };
      if (typeof known !== "number" || typeof heard !== "number")
        throw new UserError("the saved mean of rewards cannot be read", "remove the state, and align from the start");
      [mean, pairs] = [known, heard];
    },
  };
}
