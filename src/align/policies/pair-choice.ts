/** What --pair-weight and --pair-loss say beside a policy's own loss. */
import { UserError } from "../../errors.ts";
import type { Bound } from "../../method/bind.ts";
import { MIXED, pairLossesOf } from "../preferences/pair-losses.ts";
import type { AlignRun } from "../run.ts";
import type { PolicyMethod, SharedValues } from "./contract.ts";
import type { WeighedPairLoss } from "./pair-term.ts";

/** The losses of pairs that add up; none without --pair-weight. Throws UserError for what does not go together. */
export async function choosePairTerm(
  run: Pick<AlignRun, "options" | "picks">,
  { method, values }: Bound<PolicyMethod>,
): Promise<readonly WeighedPairLoss[]> {
  const { pair_weight: weight, group }: SharedValues = values;
  const { pair_loss: asked } = run.options;
  if (weight === 0) {
    if (!asked) return [];
    throw new UserError(
      `--pair-loss beside ${method.name} has no weight`,
      "give --pair-weight 1, or take a method of preferences",
    );
  }
  if (method.choice)
    throw new UserError(
      `${method.name} ${method.pairs ? "is a loss of pairs itself" : "chooses answers"}, and --pair-weight adds one of pairs`,
      "leave --pair-weight out",
    );
  if (group < 2) throw new UserError("--pair-weight compares answers to one prompt, and --group 1 is one", "give 2");
  const losses = await pairLossesOf(run, MIXED);
  const across = losses.find(({ method: loss }) => loss.acrossPairs)?.method.name;
  if (across)
    throw new UserError(
      `--pair-loss ${across} compares pairs with one another, and not every prompt of a rollout has one`,
      "take another form, such as sigmoid",
    );
  return losses;
}
