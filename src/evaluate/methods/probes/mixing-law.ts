/**
 * Laws that foretell the held-out losses of groups from the shares in which the groups are trained on, fitted to short
 * trainings from the same start, and how far they are off.
 *
 *   static   L_i(p) = c_i + exp(b_i + sum_j t_ij p_j)     Ye et al. 2024 (data mixing laws), arXiv:2403.16952
 *   dynamic  L_i - L_i(p) = sum_j A_ij p_j                Chen et al. 2024 (Aioli), arXiv:2411.05735
 *
 * Trainings are on one group of share f and equal shares of the others, group by group, on all alike, and on mixtures
 * that are drawn. r2 is of the trainings that a law was fitted to, the error of each left out in turn. From A come
 * Aioli's next shares: A made >= 0 with sum 1, p_j in proportion to exp(eta sum_i A_ij).
 */
import { Random } from "../../../data/random.ts";
import { UserError } from "../../../errors.ts";
import type { LoadedModel } from "../../../run/measuring/loaded-model.ts";
import {
  columnSums,
  drawMixture,
  dynamicLaw,
  explained,
  exponentialLaw,
  leftOutError,
  normaliseLaw,
  probeMixture,
} from "../../../run/mixture-laws.ts";
import { exponentiated, uniform } from "../../../run/simplex.ts";
import { mixedBatches } from "../../../run/training/short-training.ts";
import { refuseMeasures } from "../../look-at.ts";
import { eachTrained } from "../../short-runs/trained-models.ts";
import { divideRows, Trials } from "../../short-runs/trials.ts";
import { defineTechnique, type TechniqueInfo, type TechniqueSetup } from "../../technique.ts";

const COUNT = "number.integer >= 1";
const OPTIONS = {
  mixing_law_share: {
    type: "0 < number <= 1",
    help: "f, the share of the group in its own training; 0.75 of two groups, else 0.5, when left out",
    value: "F",
  },
  mixing_law_drawn: { type: "number.integer >= 0", default: 8, help: "mixtures that are drawn besides", value: "N" },
  mixing_law_steps: { type: COUNT, default: 50, help: "steps of each training", value: "N" },
  mixing_law_lr: { type: "number > 0", default: 5e-4, help: "rate of AdamW, constant", value: "RATE" },
  mixing_law_batch: { type: COUNT, default: 8, help: "rows of a step", value: "N" },
  mixing_law_held: { type: "0 < number < 1", default: 0.2, help: "share of the rows that is measured", value: "F" },
  mixing_law_eta: { type: "number >= 0", default: 0.2, help: "step to the next shares", value: "X" },
} as const;

type Setup = TechniqueSetup<typeof OPTIONS>;

/** Ridge penalty, as a share of the mean square of the shares. */
const LAMBDA = 1e-6;

function check(info: TechniqueInfo<typeof OPTIONS>): void {
  refuseMeasures("mixing-law", info);
  const { values, groups } = info;
  const k = groups.length;
  if (k < 2) throw new UserError("--probe mixing-law needs two groups or more", "give --data name=path for each");
  if (values.mixing_law_share !== undefined && values.mixing_law_share <= 1 / k)
    throw new UserError(
      `--mixing-law-share ${values.mixing_law_share} does not favour one of ${k} groups`,
      `it must be above 1/${k}`,
    );
}

/** The mixtures of all trainings. */
function mixturesOf({ values, groups, seed }: Setup): number[][] {
  const k = groups.length;
  const share = values.mixing_law_share ?? (k === 2 ? 0.75 : 0.5);
  const random = new Random(seed, "mixing law");
  return [
    ...groups.map((_, group) => probeMixture(k, group, share)),
    uniform(k),
    ...Array.from({ length: values.mixing_law_drawn }, () => drawMixture(uniform(k), [1, 1], random)),
  ];
}

interface Row {
  readonly model: string;
  readonly group: string;
  readonly before: number;
  readonly static: { readonly floor: number; readonly level: number; readonly rates: readonly number[] };
  readonly static_r2: number;
  readonly static_error: number;
  readonly dynamic: readonly number[];
  readonly dynamic_r2: number;
  readonly dynamic_error: number;
}

async function rowsOf(loaded: LoadedModel, setup: Setup) {
  const { values, groups, seed } = setup;
  const { mixing_law_batch: batch, mixing_law_steps: steps, mixing_law_lr: lr } = values;
  const division = { held: values.mixing_law_held, flag: "--mixing-law-held", batch, seed };
  const { learnt, held } = await divideRows(loaded, groups, division);
  const mixtures = mixturesOf(setup);
  const trials = new Trials(loaded, held, { ...setup, rateFlag: "--mixing-law-lr" });
  const runs: { mixture: number[]; losses: readonly number[] }[] = [];
  let before: readonly number[] = [];
  try {
    for (const mixture of mixtures) {
      const parts = learnt.map((part, i) => ({ ...part, weight: mixture[i]! }));
      const source = mixedBatches(parts, { batchSize: batch, seed });
      const { points } = await trials.run({ source, steps, rate: () => lr });
      before = points[0]!.losses;
      runs.push({ mixture, losses: points.at(-1)!.losses });
    }
  } finally {
    await trials.free();
  }
  const rows = groups.map(({ name }, i): Row => {
    const losses = runs.map((run) => run.losses[i]!);
    const drops = losses.map((loss) => before[i]! - loss);
    const { law: fixed, ...parameters } = exponentialLaw(mixtures, losses, LAMBDA);
    const moving = dynamicLaw(mixtures, drops, LAMBDA);
    return {
      ...{ model: loaded.ref, group: name, before: before[i]! },
      ...{ static: parameters, static_r2: explained(mixtures.map(fixed), losses) },
      static_error: leftOutError((p, v) => exponentialLaw(p, v, LAMBDA).law, mixtures, losses),
      ...{ dynamic: moving.rates, dynamic_r2: explained(mixtures.map(moving.law), drops) },
      dynamic_error: leftOutError((p, v) => dynamicLaw(p, v, LAMBDA).law, mixtures, drops),
    };
  });
  const law = normaliseLaw(rows.map(({ dynamic }) => dynamic));
  const next = exponentiated(uniform(groups.length), columnSums(law), values.mixing_law_eta);
  return { rows, aioli: { model: loaded.ref, law, next }, runs: { model: loaded.ref, runs } };
}

export const method = defineTechnique({
  name: "mixing-law",
  title: "Mixing laws",
  about: "trains each model shortly on mixtures of the groups, and fits static and dynamic laws of their losses",
  cite: "arXiv:2411.05735",
  metrics: [],
  options: OPTIONS,
  laws: { reproducible: true, companions: true },
  check,

  async run(setup) {
    const { values, candidates, groups, loader } = setup;
    loader.begin(candidates.length * mixturesOf(setup).length * values.mixing_law_steps, "steps");
    const found = await eachTrained(setup, (loaded) => rowsOf(loaded, setup));
    const names = groups.map(({ name }) => name);
    const columns = ["static r2", "static error", "dynamic r2", "dynamic error"];
    const header = ["model", "group", "before", ...columns, ...names.map((name) => `A ${name}`)];
    const table = found.flatMap(({ rows, aioli: { model, next } }) => [
      ...rows.map((row) => [
        ...[model, row.group, row.before, row.static_r2, row.static_error, row.dynamic_r2, row.dynamic_error],
        ...row.dynamic,
      ]),
      [model, "next shares", "", "", "", "", "", ...next],
    ]);
    return {
      table: [header, ...table],
      json: {
        aioli: found.map(({ aioli }) => aioli),
        runs: found.map(({ runs }) => runs),
        rows: found.flatMap(({ rows }) => rows),
      },
    };
  },
});
