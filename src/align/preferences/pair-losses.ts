/** Which forms of the loss of pairs add up, and what each weighs. */
import { UserError } from "../../errors.ts";
import { bindDefaults } from "../../method/bind.ts";
import { loadMethod } from "../../method/registry.ts";
import type { AlignRun } from "../run.ts";
import type { PreferenceGiven, PreferenceMethod } from "./contract.ts";

/** Mixed preference optimization's. Wang et al. 2024, https://arxiv.org/abs/2411.10442 */
export const MIXED = [
  { name: "sigmoid", weight: 0.8 },
  { name: "bco-pair", weight: 0.2 },
  { name: "sft", weight: 1 },
] as const;

/** Those of --pair-loss, or others where it is left out. Throws UserError. */
export function pairLossesOf(
  { options, picks }: Pick<AlignRun, "options" | "picks">,
  others: NonNullable<PreferenceMethod["pairLosses"]>,
): Promise<PreferenceGiven["pairLosses"]> {
  const { pair_loss_weights: weights } = options;
  const chosen = picks.pair_loss;
  if (weights && weights.length !== chosen.length)
    throw new UserError(
      `--pair-loss names ${chosen.length} forms, and --pair-loss-weights has ${weights.length} numbers`,
      "give one for each",
    );
  if (chosen.length > 0) return Promise.resolve(chosen.map((loss, i) => ({ ...loss, weight: weights?.[i] ?? 1 })));
  return Promise.all(
    others.map(async ({ name, weight }) => ({ ...bindDefaults(await loadMethod("pair-loss", name)), weight })),
  );
}
