/**
 * `align filter`: the rows that a model can learn from by rewards, told by what it makes of them now. Rollout-based
 * instance filtering: Lai et al. 2025, https://arxiv.org/abs/2507.05386
 */
import type { Context, Outcome } from "../../cli/context.ts";
import { textResult } from "../../cli/text-result.ts";
import { UserError } from "../../errors.ts";
import { successOf, unbegun } from "../attempts/attempts.ts";
import type { FILTER } from "../attempts/options.ts";
import { meanOf } from "../policies/advantages.ts";
import { openAttempts } from "./open-attempts.ts";

/** Whether a row stays, by the share of attempts that were right. */
export const isKept = (success: number, keep: "solvable" | "learnable"): boolean =>
  success > 0 && (keep === "solvable" || success < 1);

export async function filter(context: Context<typeof FILTER>): Promise<Outcome> {
  const { options } = context;
  const result = textResult(context, [options.data]);
  const { attempts: count, keep } = options;
  const { tasks, start } = await openAttempts(context);
  if (context.dryRun) {
    context.json({ rows: tasks.length, answers: tasks.length * count });
    context.print(`${tasks.length} rows, ${tasks.length * count} answers`);
    return {};
  }
  const attempts = await start();
  context.onExit(() => attempts.free());
  const shares = (await attempts.of(unbegun(tasks), count)).map(successOf);
  const kept = tasks.filter((_, i) => isKept(shares[i]!, keep));
  if (kept.length === 0)
    throw new UserError(
      `${options.data}: no row of ${tasks.length} is ${keep} in ${count} attempts`,
      "train the model on answers first, or raise --attempts; --success says which reward is a right answer",
    );
  const told = {
    rows: tasks.length,
    kept: kept.length,
    unsolved: shares.filter((share) => share === 0).length,
    always_solved: shares.filter((share) => share === 1).length,
    success: meanOf(shares),
  };
  context.info(
    `${kept.length} rows of ${tasks.length}; ${told.unsolved} never solved, ${told.always_solved} always, ${(100 * told.success).toFixed(1)} % of answers right`,
  );
  return result(kept.map(({ value }) => JSON.stringify(value)).join("\n"), told);
}
