/** `align estimate`: what a policy would bring, from decisions that another one took. */
import type { Context, Outcome } from "../../cli/context.ts";
import { groupsOf } from "../../data/groups.ts";
import { openGpu } from "../../gpu/gpu.ts";
import { Model } from "../../model/model.ts";
import { openModel } from "../../run/open-model.ts";
import { table } from "../../text/table.ts";
import { type Decided, ESTIMATORS, estimates } from "../logged/estimators.ts";
import { decisionsOf } from "../logged/policy.ts";
import { readLogged } from "../logged/rows.ts";
import { decisionShape } from "../logged/training.ts";
import { expectedRewards } from "../logged/value-model.ts";
import type { ESTIMATE } from "../options.ts";

export async function estimate(context: Context<typeof ESTIMATE>): Promise<Outcome> {
  const { options, seed, signal } = context;
  const opened = await openModel(context.args[0] ?? "-", {}, (text) => context.warn(text));
  context.onExit(() => opened.checkpoint.close());
  const shape = decisionShape(opened);
  const groups = groupsOf(options.data, "--data", options.columns);
  const rows = await readLogged(groups, { ...shape, weights: options.logged_weights });
  if (context.dryRun) {
    context.json({ rows: rows.length, ...shape });
    context.print(`${rows.length} decisions among ${shape.actions} actions`);
    return {};
  }
  const gpu = await openGpu({ device: context.device });
  const model = await Model.load(gpu, opened.checkpoint, { freeze: () => true });
  const decisions = await decisionsOf(model, rows, { at: options.batch_size, inputs: shape.inputs, signal });
  const { value_folds: folds, value_ridge: penalty } = options;
  const expected = expectedRewards(rows, { actions: shape.actions, folds, penalty, seed });
  const decided = rows.map(
    ({ action, propensity, reward }, i): Decided => ({
      ...{ propensity, reward, probability: decisions[i]![action]!, expected: expected[i]![action]! },
      expectedMean: decisions[i]!.reduce((sum, p, a) => sum + p * expected[i]![a]!, 0),
    }),
  );
  const { effective, ...found } = estimates(decided, options.clip_weights);
  const logged = rows.reduce((sum, { reward }) => sum + reward, 0) / rows.length;
  context.json({
    rows: rows.length,
    effective_rows: effective,
    logged,
    ...Object.fromEntries(ESTIMATORS.map((name) => [name, found[name]])),
  });
  const lines = ESTIMATORS.map((name) => [name, found[name].value.toFixed(4), found[name].error.toFixed(4)]);
  if (!options.json)
    context.print(
      `${table([["estimate", "value", "error"], ...lines])}\nlogged ${logged.toFixed(4)}; ${rows.length} rows count as ${effective.toFixed(1)}`,
    );
  return {};
}
