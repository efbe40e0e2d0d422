/**
 * `curriculum regmix`: a mixture of groups by regression. Short trainings on drawn mixtures, a law of the loss that is
 * fitted to them, and the mixture that it foretells the least loss of. Liu et al. 2024,
 * https://arxiv.org/abs/2407.01492
 */
import type { Context, Outcome } from "../../cli/context.ts";
import { textResult } from "../../cli/text-result.ts";
import { groupsOf } from "../../data/groups.ts";
import { Random } from "../../data/random.ts";
import { UserError } from "../../errors.ts";
import { bestMixture, drawMixture, fitLaw, leftOutRanks } from "../../run/mixture-laws.ts";
import { heldOutGroups } from "../../run/training/held-out.ts";
import { bySize } from "../mixture-options.ts";
import type { REGMIX } from "../options.ts";
import type { ShortRun } from "../short-runs.ts";
import { MixtureSource, type Rows } from "../source.ts";
import { describeRuns, measure, openShortRuns } from "./open-short-runs.ts";

type RegmixContext = Context<typeof REGMIX>;

/** Throws UserError unless strengths are two, above 0, the first at most the second. */
function strengthsOf(given: readonly number[]): [number, number] {
  const [low = 0, high = 0] = given;
  if (given.length === 2 && low > 0 && high >= low && Number.isFinite(high)) return [low, high];
  throw new UserError(`--strengths ${given.join(",")} should be two numbers above 0, the least first`, "such as 0.1,5");
}

/** Which held-out groups the loss is of. Throws UserError for a name that none has. */
function aimedAt({ options }: RegmixContext, names: readonly string[]): string[] {
  const odd = options.aim?.find((name) => !names.includes(name));
  if (odd !== undefined) throw new UserError(`--aim ${odd} is no held-out group`, `they are ${names.join(", ")}`);
  return options.aim ?? [...names];
}

const runOn = (rows: Rows, mixture: readonly number[], i: number, { options, seed }: RegmixContext): ShortRun => {
  const source = new MixtureSource(rows, { batchSize: options.batch_size, seed, shuffle: true });
  source.probs = [...mixture];
  return { on: `mixture ${i + 1}`, source, steps: options.mixture_steps };
};

/** Below it, ranks of trainings that were left out say that a law is no guide. */
const TRUSTED = 0.7;

export async function regmix(context: RegmixContext): Promise<Outcome> {
  const { options, seed } = context;
  const groups = groupsOf(options.data, "--data", options.columns);
  const evaluated = heldOutGroups(options, undefined);
  const result = textResult(
    context,
    [...groups, ...evaluated].map(({ path }) => path),
  );
  const strengths = strengthsOf(options.strengths);
  const opened = await openShortRuns(context, "regmix", "any");
  const { rows, heldOut, choices } = opened;
  const aims = aimedAt(
    context,
    heldOut.map(({ name }) => name),
  );
  const shares = bySize(rows.counts);
  const drawn = new Random(seed, "regmix", "trained");
  const mixtures = Array.from({ length: options.mixture_runs }, () => drawMixture(shares, strengths, drawn));
  const runs = mixtures.map((mixture, i) => runOn(rows, mixture, i, context));
  choices.rate(1, options.mixture_steps); // refuses a schedule that does not fit before any work
  const steps = runs.length * options.mixture_steps;
  if (context.dryRun) {
    const lengths = `of ${options.mixture_steps} steps`;
    describeRuns(context, opened, { runs: runs.length, steps, lengths, more: { aim: aims } });
    return {};
  }
  const { after } = await measure(context, opened, runs, aims);
  const losses = after.map((list) => list.reduce((sum, loss) => sum + loss, 0) / list.length);
  const law = fitLaw(options.law, mixtures, losses, options.ridge);
  const candidates = new Random(seed, "regmix", "candidates");
  const { mixture, foretold } = bestMixture(law, {
    draw: () => drawMixture(shares, strengths, candidates),
    count: options.candidates,
    best: Math.min(options.best_of, options.candidates),
  });
  const ranks = leftOutRanks(options.law, mixtures, losses, options.ridge);
  const trained = mixtures.map((shares, i) => ({ mixture: shares, loss: losses[i]!, foretold: law(shares) }));
  const value = {
    groups: rows.names,
    mixture,
    foretold,
    law: options.law,
    left_out_spearman: ranks,
    aim: aims,
    trained,
  };
  context.log.event("result", { value });
  const [least] = [...losses].sort((a, b) => a - b);
  const guide = `rank correlation of trainings left out ${ranks.toFixed(2)}`;
  context.info(
    `train with --method static --mixture ${mixture.map((share) => share.toFixed(4)).join(",")}: ` +
      `loss ${foretold.toFixed(4)} foretold, ${least!.toFixed(4)} the least of ${runs.length} trainings; ${guide}`,
  );
  if (!(ranks > TRUSTED))
    context.warn(`the law does not rank these mixtures as training does (${TRUSTED} is asked for)`);
  return result(JSON.stringify(value, null, 2), { groups: rows.names, mixture, foretold, runs: runs.length, steps });
}
