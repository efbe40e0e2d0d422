/**
 * `align prepare-steps`: pairs for --method dpo from where a model's own wrong solutions go astray, or labels of steps.
 */
import type { Context, Outcome } from "../../cli/context.ts";
import { textResult } from "../../cli/text-result.ts";
import { UserError } from "../../errors.ts";
import type { STEPS } from "../attempts/options.ts";
import { stepPairs } from "../attempts/steps.ts";
import { openAttempts } from "./open-attempts.ts";

export async function prepareSteps(context: Context<typeof STEPS>): Promise<Outcome> {
  const { options } = context;
  const result = textResult(context, [options.data]);
  const { solutions, continuations, pit, to, right_steps: right } = options;
  const { tasks, tokens: decode, start } = await openAttempts(context);
  for (const { row, place } of tasks)
    if (row.form === "messages" || row.form === "tokens" || row.form === "preference")
      throw new UserError(
        `${place}: a row of ${row.form}, where steps of an answer cannot be added to the prompt`,
        "give rows of prompt and completion",
      );
  if (context.dryRun) {
    context.json({ rows: tasks.length, solutions: tasks.length * solutions });
    context.print(`${tasks.length} rows, ${tasks.length * solutions} solutions, and continuations of wrong ones`);
    return {};
  }
  const attempts = await start();
  context.onExit(() => attempts.free());
  const setup = { solutions, continuations, pit, right, seed: context.seed, decode };
  const { pairs, kept, rows, told } = await stepPairs(tasks, attempts, setup);
  if (to === "steps") {
    if (rows.length === 0)
      throw new UserError(`${options.data}: every solution is empty`, "train the model on answers first");
    const labels = rows.flatMap((row) => row.labels);
    const lost = labels.filter((label) => !label).length;
    context.info(`${rows.length} different solutions of ${labels.length} steps, of which ${lost} leave no chance`);
    const written = { different: rows.length, steps: labels.length, lost_steps: lost };
    return result(rows.map((row) => JSON.stringify(row)).join("\n"), { ...written, ...told });
  }
  if (pairs.length === 0)
    throw new UserError(
      `${options.data}: no prompt of ${tasks.length} has both right and wrong solutions among ${solutions}`,
      "raise --solutions or --temperature, or train the model on answers first; --success says which reward is right",
    );
  context.info(
    `${pairs.length} pairs${kept > 0 ? `, ${kept} of right solutions` : ""}; ${told.wrong} of ${told.solutions} solutions wrong, lost at step ${told.step.toFixed(1)} in the mean; ${told.hopeless} prompts without hope`,
  );
  return result(pairs.map((row) => JSON.stringify(row)).join("\n"), {
    pairs: pairs.length,
    right_pairs: kept,
    ...told,
  });
}
