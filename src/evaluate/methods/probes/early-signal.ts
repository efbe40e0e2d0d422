/**
 * Whether the first steps of a fine-tuning tell its end: a sweep of batch sizes and rates, each from the start and over
 * as many rows, whose runs are ranked by what is seen early and by what they come to. Pareja et al. 2024, Unveiling the
 * Secret Recipe: A Guide For Supervised Fine-Tuning Small LLMs, https://arxiv.org/abs/2412.13337
 *
 *   early rank of a run = rank of its mean gradient norm, the least first + rank of its mean loss, the highest first
 *
 * over its first steps: within a sweep the study finds that low norms and high losses go with the better end. The rank
 * correlations say whether that holds here; kept is the half of the runs with the lowest early ranks, and regret what
 * stopping the others would have cost.
 */
import { UserError } from "../../../errors.ts";
import type { LoadedModel } from "../../../run/measuring/loaded-model.ts";
import { meanRanks, rankCorrelation } from "../../../run/probing/rank-correlation.ts";
import { mixedBatches } from "../../../run/training/short-training.ts";
import { refuseMeasures } from "../../look-at.ts";
import { eachTrained } from "../../short-runs/trained-models.ts";
import { divideRows, Trials } from "../../short-runs/trials.ts";
import { defineTechnique, type TechniqueInfo, type TechniqueSetup } from "../../technique.ts";

const OPTIONS = {
  early_signal_batches: {
    type: "(number.integer >= 1)[]",
    default: [8, 32, 128],
    help: "rows of a step",
    value: "N",
  },
  early_signal_rates: {
    type: "(number > 0)[]",
    default: [5e-6, 2e-5, 8e-5],
    help: "rates of AdamW, constant",
    value: "RATE",
  },
  early_signal_rows: {
    type: "number.integer >= 1",
    default: 5120,
    help: "rows that each run sees, repeats counted",
    value: "N",
  },
  early_signal_share: { type: "0 < number <= 1", default: 0.1, help: "share of its steps that is early", value: "F" },
  early_signal_micro: { type: "number.integer >= 1", default: 32, help: "most rows at once", value: "N" },
  early_signal_held: { type: "0 < number < 1", default: 0.2, help: "share of the rows that is measured", value: "F" },
} as const;

type Setup = TechniqueSetup<typeof OPTIONS>;

interface Run {
  readonly batch: number;
  readonly rate: number;
  readonly steps: number;
}

/** What was seen of a run. */
export interface Seen {
  readonly early_norm: number;
  readonly early_loss: number;
  /** Held-out loss at the end. */
  readonly after: number;
}

/** Early ranks of runs, how they go with what the runs come to, and what keeping the better half costs. */
export function judged(runs: readonly Seen[]) {
  const norms = runs.map(({ early_norm }) => early_norm);
  const losses = runs.map(({ early_loss }) => early_loss);
  const after = runs.map((run) => run.after);
  const [byNorm, byLoss] = [meanRanks(norms), meanRanks(losses.map((loss) => -loss))];
  const ranks = runs.map((_, i) => byNorm[i]! + byLoss[i]!);
  const order = runs.map((_, i) => i).sort((a, b) => ranks[a]! - ranks[b]! || a - b);
  const kept = order.slice(0, Math.ceil(runs.length / 2));
  return {
    ranks,
    kept,
    /** Above 0: a low norm goes with a low loss at the end. */
    norm_correlation: rankCorrelation(norms, after),
    /** Below 0: a high early loss goes with a low one at the end. */
    loss_correlation: rankCorrelation(losses, after),
    rank_correlation: rankCorrelation(ranks, after),
    regret: Math.min(...kept.map((i) => after[i]!)) - Math.min(...after),
  };
}

/** The sweep; every run sees the same number of rows, in whole steps. */
function runsOf({
  early_signal_batches: batches,
  early_signal_rates: rates,
  early_signal_rows: rows,
}: Setup["values"]) {
  return [...new Set(batches)].flatMap((batch) =>
    [...new Set(rates)].map((rate): Run => ({ batch, rate, steps: Math.max(1, Math.round(rows / batch)) })),
  );
}

function check(info: TechniqueInfo<typeof OPTIONS>): void {
  refuseMeasures("early-signal", info);
  if (runsOf(info.values).length < 3)
    throw new UserError(
      "--probe early-signal ranks runs, and there are fewer than three",
      "give more --early-signal-batches or --early-signal-rates",
    );
}

/** Rows of a micro-batch: the most that divide the batch. */
const microOf = (batch: number, most: number): number =>
  Array.from({ length: Math.min(batch, most) }, (_, i) => Math.min(batch, most) - i).find((n) => batch % n === 0)!;

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

async function swept(loaded: LoadedModel, setup: Setup) {
  const { values, groups, seed } = setup;
  const { early_signal_share: share, early_signal_micro: most } = values;
  const division = { held: values.early_signal_held, flag: "--early-signal-held", batch: most, seed };
  const { learnt, held } = await divideRows(loaded, groups, division);
  const trials = new Trials(loaded, held, { ...setup, rateFlag: "--early-signal-rates" });
  const found: (Run & Seen)[] = [];
  try {
    for (const run of runsOf(values)) {
      const micro = microOf(run.batch, most);
      const { points, heard } = await trials.run({
        source: mixedBatches(learnt, { batchSize: micro, seed }),
        ...{ steps: run.steps, rate: () => run.rate, accumulate: run.batch / micro },
      });
      const early = heard.slice(0, Math.max(1, Math.round(share * run.steps)));
      found.push({
        ...run,
        early_norm: mean(early.map(({ norm }) => norm)),
        early_loss: mean(early.map(({ loss }) => loss)),
        after: mean(points.at(-1)!.losses),
      });
    }
  } finally {
    await trials.free();
  }
  return { model: loaded.ref, runs: found, ...judged(found) };
}

export const method = defineTechnique({
  name: "early-signal",
  title: "Early signals",
  about:
    "fine-tunes each model over a sweep of batches and rates: whether early gradient norms and losses tell the end",
  cite: "arXiv:2412.13337",
  metrics: [],
  options: OPTIONS,
  laws: { reproducible: true, companions: true },
  check,

  async run(setup) {
    const { values, candidates, loader } = setup;
    loader.begin(candidates.length * runsOf(values).reduce((sum, { steps }) => sum + steps, 0), "steps");
    const rows = await eachTrained(setup, (loaded) => swept(loaded, setup));
    const header = ["model", "batch", "rate", "early norm", "early loss", "after", "early rank", "kept"];
    const table = rows.flatMap(({ model, runs, ranks, kept, ...found }) => [
      ...runs.map((run, i) => [
        ...[model, `${run.batch}`, run.rate.toPrecision(3), run.early_norm, run.early_loss, run.after],
        ...[ranks[i], kept.includes(i) ? "yes" : "no"],
      ]),
      [
        model,
        "rank correlation with after",
        "",
        found.norm_correlation,
        found.loss_correlation,
        "",
        found.rank_correlation,
        "",
      ],
      [model, "regret of the kept half", "", "", "", found.regret, "", ""],
    ]);
    return { table: [header, ...table], json: { rows } };
  },
});
