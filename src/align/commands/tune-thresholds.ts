/** `align tune-thresholds`: finds how far each reward is worth pursuing, while a policy trains that is held there. */
import type { Context, Outcome } from "../../cli/context.ts";
import { UserError } from "../../errors.ts";
import { align } from "../command.ts";
import type { TUNE } from "../options.ts";
import type { SharedValues } from "../policies/contract.ts";
import { parseRewards } from "../verifying/rewards.ts";

export async function tuneThresholds(context: Context<typeof TUNE, "align">): Promise<Outcome> {
  const { options } = context;
  const { threshold_patience: patience, threshold_window: window, threshold_near: near } = options;
  if (window > patience)
    throw new UserError(
      `--threshold-window ${window} is more than the --threshold-patience ${patience} rollouts of a point`,
      "lower it",
    );
  return align(context, {
    script: "align tune-thresholds",
    async tuning({ values }, terms, known) {
      const { reward_weights: kind }: SharedValues = values;
      if (kind !== "constrained")
        throw new UserError(
          `thresholds are those of --reward-weights constrained, found ${kind}`,
          "give --reward-weights constrained, with --thresholds to begin at",
        );
      const steps = options.threshold_steps ?? terms.map(() => 0.1);
      if (steps.length !== terms.length || steps.includes(0))
        throw new UserError(
          `--threshold-steps ${steps.join(",")} are not one for each of ${terms.length} rewards, none of them 0`,
          "give them in the order of the rewards",
        );
      const gold = await parseRewards(options.gold, known);
      return {
        gold: gold.map((term) => ({ ...term, name: `gold-${term.name}`, weight: 0 })),
        tuning: { gold: gold.map(({ weight }) => weight), steps, patience, window, near },
      };
    },
  });
}
