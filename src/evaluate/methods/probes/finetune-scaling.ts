/**
 * How what a model answers grows with the rows that it is fine-tuned on: it learns nested parts of the data, each from
 * the start, for as many passes and at the same rate. Raghavendra et al. 2024, Revisiting the Superficial Alignment
 * Hypothesis, https://arxiv.org/abs/2410.03717
 *
 *   P = a D^b, in logarithms, and of the errors 1 - P = a D^b;  over several models P = a D^b N^c, N their parameters
 *
 * P is a metric's value from 0 to 1 on held-out rows. With --finetune-scaling-form a pattern says which generated
 * answers have the right form, and wrong ones are of form or of content: form is learnt from few rows, ability is not.
 *
 * Memory: the weights twice, gradients, and the optimizer's two states.
 */

import { Split } from "../../../data/split.ts";
import { UserError } from "../../../errors.ts";
import type { LoadedModel } from "../../../run/measuring/loaded-model.ts";
import { measured } from "../../../run/measuring/measure.ts";
import type { ScoredRow } from "../../../run/scoring/scored-row.ts";
import { Perturbation } from "../../../run/training/perturbation.ts";
import { drawRows, finetune } from "../../../run/training/short-training.ts";
import { jointLaw, type ScalingLaw, scalingLaw, sizeAt } from "../../short-runs/scaling.ts";
import { eachTrained } from "../../short-runs/trained-models.ts";
import { defineTechnique, type TechniqueInfo, type TechniqueSetup } from "../../technique.ts";

const COUNT = "number.integer >= 1";
const OPTIONS = {
  finetune_scaling_sizes: {
    type: "(number.integer >= 0)[]",
    default: [0, 100, 300, 1000, 3000, 10_000],
    help: "rows that are learnt; a larger part holds the smaller ones",
    value: "D",
  },
  finetune_scaling_seeds: { type: COUNT, default: 3, help: "draws of the parts", value: "N" },
  finetune_scaling_epochs: { type: COUNT, default: 3, help: "passes over them", value: "N" },
  finetune_scaling_lr: { type: "number > 0", default: 1e-5, help: "rate of AdamW, constant", value: "RATE" },
  finetune_scaling_batch: { type: COUNT, default: 8, help: "rows of a step", value: "N" },
  finetune_scaling_held: {
    type: "0 < number < 1",
    default: 0.2,
    help: "share of the rows that is measured",
    value: "F",
  },
  finetune_scaling_target: {
    type: "0 < number <= 1",
    default: 0.9,
    help: "value whose size the law tells",
    value: "P",
  },
  finetune_scaling_form: {
    type: "string",
    help: "regular expression for the whole of an answer in the right form; with --metric exact-match",
    value: "REGEX",
  },
} as const;

type Setup = TechniqueSetup<typeof OPTIONS>;

interface Point {
  readonly size: number;
  readonly seed: number;
  readonly value: number;
  /** Shares of answers: in the right form, wrong and not in it, wrong and in it. */
  readonly form?: number;
  readonly form_errors?: number;
  readonly content_errors?: number;
}

const sizesOf = ({ finetune_scaling_sizes: sizes }: Setup["values"]): number[] =>
  [...new Set(sizes)].sort((a, b) => a - b);

/** The pattern of answers. Throws UserError for one that cannot be read. */
function patternOf({ finetune_scaling_form: form }: Setup["values"]): RegExp | undefined {
  if (form === undefined) return undefined;
  try {
    return new RegExp(`^(?:${form})$`, "s");
  } catch (error) {
    throw new UserError(`--finetune-scaling-form ${form}: ${(error as Error).message}`, "give a regular expression");
  }
}

function check({ values, metrics, groups, gold }: TechniqueInfo<typeof OPTIONS>): void {
  if (gold)
    throw new UserError("--gold has no effect with --probe finetune-scaling", "give the model as one more argument");
  if (groups.length !== 1)
    throw new UserError(`--probe finetune-scaling learns one group, and there are ${groups.length}`, "give one --data");
  const [metric] = metrics;
  if (metrics.length !== 1 || !metric)
    throw new UserError("--probe finetune-scaling follows one metric", "give one --metric");
  const { name, better, range, across, needs = [] } = metric.method;
  if (better !== "higher" || range[0] !== 0 || range[1] !== 1 || across)
    throw new UserError(
      `--probe finetune-scaling follows a value from 0 to 1 of which more is better, and ${name} is none`,
      "take another --metric, such as sequence-accuracy or exact-match",
    );
  if (patternOf(values) && ![needs].flat().includes("generated"))
    throw new UserError(
      `--finetune-scaling-form looks at generated answers, and ${name} needs none`,
      "give --metric exact-match",
    );
  if (Math.max(...values.finetune_scaling_sizes) === 0)
    throw new UserError("--finetune-scaling-sizes names no size above 0", "such as 100,300,1000");
}

/** What a model answers to the held-out rows now. */
function pointOf(rows: readonly ScoredRow[], size: number, seed: number, setup: Setup): Point {
  const { metrics, groups, forget, holdout, values } = setup;
  const found = measured(rows, metrics, { groups: groups.map(({ name }) => name), forget, holdout });
  const { value } = found[0]!;
  const pattern = patternOf(values);
  if (!pattern) return { size, seed, value };
  const answers = rows.flatMap(({ generated }) => (generated ? [generated] : []));
  const share = (is: (answer: (typeof answers)[number]) => boolean) => answers.filter(is).length / answers.length;
  const isRight = ({ found, expected }: (typeof answers)[number]) => found.trim() === expected.trim();
  const isFormed = ({ found }: (typeof answers)[number]) => pattern.test(found.trim());
  return {
    ...{ size, seed, value, form: share(isFormed) },
    form_errors: share((answer) => !isRight(answer) && !isFormed(answer)),
    content_errors: share((answer) => !isRight(answer) && isFormed(answer)),
  };
}

/** All trainings of a model; without rows it is measured as it is. */
async function pointsOf(loaded: LoadedModel, setup: Setup): Promise<Point[]> {
  const { values, groups, seed, signal, loader } = setup;
  const split = new Split(values.finetune_scaling_held, seed, "--finetune-scaling-held");
  const [group] = split.rest(groups);
  const sizes = sizesOf(values).filter((size) => size > 0);
  const points = [pointOf(await loaded.score(split.heldOut), 0, 0, setup)];
  const weights = new Perturbation(loader.gpu, loaded.model.trainable());
  weights.save();
  for (let draw = 0; draw < values.finetune_scaling_seeds; draw++) {
    const material = await drawRows(loaded, group!, seed + draw);
    if (sizes.at(-1)! > material.rows.length)
      throw new UserError(
        `--finetune-scaling-sizes ${sizes.at(-1)}: the group ${group!.name} has ${material.rows.length} rows to learn`,
        "ask for fewer, or give more rows",
      );
    for (const size of sizes) {
      await finetune(loaded, material, {
        ...{ rows: size, epochs: values.finetune_scaling_epochs, lr: values.finetune_scaling_lr },
        ...{ batchSize: values.finetune_scaling_batch, seed: seed + draw, signal, rateFlag: "--finetune-scaling-lr" },
        done: (n) => loader.tick(loaded.ref, n),
      });
      points.push(pointOf(await loaded.score(split.heldOut), size, draw, setup));
      weights.restore();
    }
  }
  await weights.free();
  return sizesOf(values).includes(0) ? points : points.slice(1);
}

/** The laws of a model, and what they say. */
function lawsOf(points: readonly Point[], { finetune_scaling_target: target }: Setup["values"]) {
  const law = scalingLaw(points.map(({ size, value }) => [size, value]));
  const errors = scalingLaw(points.map(({ size, value }) => [size, 1 - value]));
  const form = formedAt(points);
  const size = law && sizeAt(law, target);
  return {
    ...(law ? { law } : {}),
    ...(errors ? { errors } : {}),
    ...(size === undefined ? {} : { target: { value: target, size } }),
    ...(form === undefined ? {} : { form_at: form }),
  };
}

/** The least size at which the mean share of answers in form is 95 % of the most; undefined without a form. */
function formedAt(points: readonly Point[]): number | undefined {
  const means = [...Map.groupBy(points, ({ size }) => size)].map(([size, own]) => ({
    size,
    form: own.reduce((sum, { form = Number.NaN }) => sum + form, 0) / own.length,
  }));
  const most = Math.max(...means.map(({ form }) => form));
  return means.sort((a, b) => a.size - b.size).find(({ form }) => form >= 0.95 * most)?.size;
}

export const method = defineTechnique({
  name: "finetune-scaling",
  title: "Scaling of fine-tuning",
  about: "fine-tunes each model on parts of the data, and fits the power law of a metric over their sizes",
  cite: "arXiv:2410.03717",
  metrics: ["sequence-accuracy"],
  options: OPTIONS,
  laws: { reproducible: true, companions: true },
  check,

  async run(setup) {
    const { values, candidates, loader } = setup;
    const sizes = sizesOf(values).filter((size) => size > 0);
    const { finetune_scaling_seeds: draws, finetune_scaling_epochs: epochs } = values;
    const learnt = draws * epochs * sizes.reduce((a, b) => a + b, 0);
    loader.announce((readings) => candidates.length * ((1 + draws * sizes.length) * readings + learnt));
    const rows = await eachTrained(setup, async (loaded) => {
      const points = await pointsOf(loaded, setup);
      const parameters = [...loaded.model.parameters.values()].reduce((sum, { size }) => sum + size, 0);
      return { model: loaded.ref, parameters, points, ...lawsOf(points, values) };
    });
    const joint = jointLaw(
      rows.flatMap(({ parameters, points }) => points.map(({ size, value }) => [size, parameters, value] as const)),
    );
    const lawCells = (model: string, name: string, law: ScalingLaw | undefined, more: (number | string)[] = []) =>
      law ? [[model, name, law.a, law.b, law.r2, ...more]] : [];
    const table = rows.flatMap(({ model, points, law, errors, target, form_at }) => [
      ...points.map(({ size, seed, value, form }) => [model, `${size} rows, draw ${seed + 1}`, value, form, ""]),
      ...lawCells(model, "P = a D^b: a, b, r2", law),
      ...lawCells(model, "1 - P = a D^b: a, b, r2", errors),
      ...(target ? [[model, `rows for ${target.value}`, target.size, "", ""]] : []),
      ...(form_at === undefined ? [] : [[model, "rows for 95 % of form", `${form_at}`, "", ""]]),
    ]);
    const over = joint ? [["all models", "P = a D^b N^c: a, b, c", joint.a, joint.b, joint.c]] : [];
    return {
      table: [["model", "what", "value", "form", ""], ...table, ...over],
      json: { ...(joint ? { joint } : {}), rows },
    };
  },
});
