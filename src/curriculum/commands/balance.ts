/**
 * `curriculum balance`: measures by short runs what tasks do for each other and how hard they are, and writes their
 * weights as JSON.
 */
import type { Context, Outcome } from "../../cli/context.ts";
import { textResult } from "../../cli/text-result.ts";
import { groupsOf } from "../../data/groups.ts";
import { UserError } from "../../errors.ts";
import { heldOutGroups } from "../../run/training/held-out.ts";
import { quote } from "../../text/quote.ts";
import type { BALANCE } from "../options.ts";
import { subsetRuns } from "../subset-runs.ts";
import { taskWeights } from "../task-weights.ts";
import { describeRuns, measure, openShortRuns } from "./open-short-runs.ts";

/** Likelihoods of a token, from mean losses: scores that are higher for better. */
const scoresOf = (losses: readonly number[]): number[] => losses.map((loss) => Math.exp(-loss));

/** The parts of the weights. Throws UserError unless there are three that sum to 1. */
function partsOf(given: readonly number[]): { out: number; inward: number; difficulty: number } {
  const [out = 0, inward = 0, difficulty = 0] = given;
  if (given.length !== 3 || Math.abs(out + inward + difficulty - 1) > 1e-9)
    throw new UserError(`--parts ${given.join(",")} should be three numbers that sum to 1`, "such as 0.25,0.25,0.5");
  return { out, inward, difficulty };
}

export async function balance(context: Context<typeof BALANCE>): Promise<Outcome> {
  const { options, seed } = context;
  const groups = groupsOf(options.data, "--data", options.columns);
  const evaluated = heldOutGroups(options, undefined);
  const result = textResult(
    context,
    [...groups, ...evaluated].map(({ path }) => path),
  );
  const parts = partsOf(options.parts);
  const opened = await openShortRuns(context, "balancing");
  const { rows, choices } = opened;
  const { mini, passes, batch_size: batchSize } = options;
  const runs = subsetRuns(rows, { mini, passes, batchSize, seed });
  for (const { steps } of runs) choices.rate(1, steps); // refuses a schedule that does not fit before any work
  const steps = runs.reduce((sum, run) => sum + run.steps, 0);
  if (context.dryRun) {
    const [least, most] = [Math.min(...runs.map((run) => run.steps)), Math.max(...runs.map((run) => run.steps))];
    const lengths = `of ${least.toLocaleString("en-US")} to ${most.toLocaleString("en-US")} steps`;
    describeRuns(context, opened, { runs: runs.length, steps, lengths, more: { mini, passes } });
    return {};
  }
  const { after } = await measure(context, opened, runs);
  const [first, ...full] = after.map(scoresOf) as [number[], ...number[][]];
  const { weights, contribution, difficulty, saturated } = taskWeights(first, full, { tau: options.tau, ...parts });
  const names = saturated.map((i) => rows.names[i]!);
  if (names.length > 0)
    context.warn(`the own rows of ${names.join(", ")} did not help: what others do for it counts as nothing`);
  const value = {
    groups: rows.names,
    weights,
    contribution,
    difficulty,
    saturated: names,
    scores: { mini: first, full },
  };
  context.log.event("result", { value });
  const by =
    context.out === "-"
      ? `--group-weights ${weights.map((weight) => weight.toFixed(4)).join(",")}`
      : `--weights-file ${quote(context.out)}`;
  context.info(`train with --method task-balance ${by}`);
  return result(JSON.stringify(value, null, 2), { groups: rows.names, weights, runs: runs.length, steps });
}
