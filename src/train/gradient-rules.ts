/** `train --gradient-rule`: the rules that were chosen, on the objective that was chosen. */
import type { Batch } from "../data/batch.ts";
import type { Values } from "../method/options.ts";
import type { Picks } from "../method/picks.ts";
import type { ReadRows } from "../run/training/batch-source.ts";
import { type ChosenGradientRules, chooseGradientRules } from "../run/training/gradient-rule.ts";
import { wholeLoss } from "../run/training/label-loss.ts";
import type { Objective } from "../run/training/objective.ts";
import type { SourceModulation } from "../run/training/source-modulation.ts";
import type { Built } from "../run/training/technique.ts";
import type { Parameter } from "../tensor/parameter.ts";
import type { TRAIN } from "./options.ts";

interface Asked {
  readonly options: Values<typeof TRAIN>;
  readonly picks: Picks<typeof TRAIN>;
  readonly seed: number;
}

/** What is trained, before rules change the way to its gradient. */
interface Plain {
  readonly objective: Objective<Batch>;
  readonly extra: readonly Parameter[];
  /** What the objective was made with. */
  readonly modulation: SourceModulation | undefined;
  /** Whether it is in the place of the labels' loss. */
  readonly isOwn: boolean;
}

/** The objective, taken apart by groups of rows where a rule asks for it, and the rules. Throws UserError. */
export function withGradientRules(
  { options, picks, seed }: Asked,
  { gpu, model }: Built,
  { groups }: ReadRows,
  { objective, extra, modulation, isOwn }: Plain,
): ChosenGradientRules {
  const refuses = wholeOf({ options, picks });
  const chosen = chooseGradientRules(picks.gradient_rule, {
    ...{ objective, refuses, packs: options.pack, shared: options.gradient_shared },
    groups: groups.map(({ name }) => name),
    takesModulation: refuses === undefined && !isOwn && options.loss_balance === "none" && model.task === "classifier",
    ...{ gpu, parameters: [...model.trainable(), ...extra], seed },
  });
  return { objective: chosen.objective, updates: [...chosen.updates, ...(modulation ? [modulation] : [])] };
}

/** What makes the loss one of whole batches, so that it cannot be taken apart by groups of rows. */
function wholeOf({ options, picks }: Pick<Asked, "options" | "picks">): string | undefined {
  const whole = wholeLoss(picks.loss[0]!.method);
  if (whole) return whole;
  if (options.mixup > 0 || options.contrastive > 0) return "--mixup and --contrastive join rows of all groups";
  if (options.certified !== undefined) return "--certified has terms of whole batches";
  if (options.credit !== "backprop") return `--credit ${options.credit} has an objective of its own`;
  if (options.heads !== "one") return `--heads ${options.heads} has an objective of its own`;
  return options.head === "own" ? undefined : `--head ${options.head} has an objective of its own`;
}
