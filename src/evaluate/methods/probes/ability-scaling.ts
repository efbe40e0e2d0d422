/**
 * How abilities grow with their own rows, alone and beside others. Dong et al. 2023, How Abilities in Large Language
 * Models are Affected by Supervised Fine-tuning Data Composition, https://arxiv.org/abs/2310.05492
 *
 *   alone   the first fraction k of the rows of one group
 *   mixed   the first fraction k of every group: the amount changes, the ratio stays
 *   beside  the first fraction k of one group and all of the others: the ratio changes
 *
 * Every run begins with the model as it was given and takes as many passes. A metric of the group's held-out rows is
 * fitted as P = a D^b in its own rows D, in logarithms. The paper finds that special abilities go on growing, that a
 * general one saturates early, and that mixing helps with few rows and hurts with many.
 *
 * Memory: the weights twice, gradients, and the optimizer's two states.
 */
import { Split } from "../../../data/split.ts";
import { UserError } from "../../../errors.ts";
import type { LoadedModel } from "../../../run/measuring/loaded-model.ts";
import { measured } from "../../../run/measuring/measure.ts";
import { Perturbation } from "../../../run/training/perturbation.ts";
import { drawRows, mixedBatches, type Part, trainShortly } from "../../../run/training/short-training.ts";
import { type ScalingLaw, scalingLaw } from "../../short-runs/scaling.ts";
import { eachTrained } from "../../short-runs/trained-models.ts";
import { defineTechnique, type TechniqueInfo, type TechniqueSetup } from "../../technique.ts";

const WAYS = ["alone", "mixed", "beside"] as const;
type Way = (typeof WAYS)[number];

const COUNT = "number.integer >= 1";
const OPTIONS = {
  ability_scaling_fractions: {
    type: "(0 < number <= 1)[]",
    default: [1 / 256, 1 / 64, 1 / 16, 1 / 4, 1],
    help: "fractions of the rows that are learnt; a larger one holds the smaller ones",
    value: "K",
  },
  ability_scaling_ways: {
    type: "('alone' | 'mixed' | 'beside')[]",
    default: [...WAYS],
    help: "one group alone, all by the same fraction, or one beside all rows of the others",
    value: "WAY",
  },
  ability_scaling_epochs: { type: COUNT, default: 3, help: "passes over them", value: "N" },
  ability_scaling_lr: { type: "number > 0", default: 2e-5, help: "rate of AdamW, constant", value: "RATE" },
  ability_scaling_batch: { type: COUNT, default: 16, help: "rows of a step", value: "N" },
  ability_scaling_held: {
    type: "0 < number < 1",
    default: 0.2,
    help: "share of the rows that is measured",
    value: "F",
  },
} as const;

type Setup = TechniqueSetup<typeof OPTIONS>;

/** A run: the fraction of every group. */
interface Plan {
  readonly way: Way;
  /** The group that is varied; undefined: all. */
  readonly varied: number | undefined;
  readonly fraction: number;
  readonly fractions: readonly number[];
}

interface Point {
  readonly way: Way;
  readonly varied: string | undefined;
  readonly fraction: number;
  /** Rows that were learnt, and the metric's value on held-out ones, of each group. */
  readonly rows: readonly number[];
  readonly values: readonly number[];
}

function plansOf({ values, groups }: Setup): Plan[] {
  const { ability_scaling_fractions: given, ability_scaling_ways: ways } = values;
  const fractions = [...new Set(given)].sort((a, b) => a - b);
  return WAYS.filter((way) => ways.includes(way)).flatMap((way): Plan[] => {
    if (way === "mixed")
      return fractions.map((k) => ({ way, varied: undefined, fraction: k, fractions: groups.map(() => k) }));
    return groups.flatMap((_, varied) =>
      fractions.map((k) => {
        const others = way === "alone" ? 0 : 1;
        return { way, varied, fraction: k, fractions: groups.map((_, i) => (i === varied ? k : others)) };
      }),
    );
  });
}

function check({ values, metrics, groups, gold }: TechniqueInfo<typeof OPTIONS>): void {
  if (gold)
    throw new UserError("--gold has no effect with --probe ability-scaling", "give the model as one more argument");
  if (groups.length < 2)
    throw new UserError("--probe ability-scaling needs two abilities or more", "give --data name=path for each");
  if (metrics.length !== 1 || !metrics[0])
    throw new UserError("--probe ability-scaling follows one metric", "give one --metric");
  const { name, better, range, across } = metrics[0].method;
  if (better !== "higher" || range[0] !== 0 || range[1] !== 1 || across)
    throw new UserError(
      `--probe ability-scaling follows a value from 0 to 1 of which more is better, and ${name} is none`,
      "take another --metric, such as accuracy or exact-match",
    );
  if (values.ability_scaling_ways.length === 0)
    throw new UserError("--ability-scaling-ways names no way", `they are ${WAYS.join(", ")}`);
}

/** What the metric says of every group now. */
async function valuesOf(loaded: LoadedModel, split: Split, setup: Setup): Promise<number[]> {
  const { metrics, groups, forget, holdout } = setup;
  const names = groups.map(({ name }) => name);
  const found = measured(await loaded.score(split.heldOut), metrics, { groups: names, forget, holdout });
  return names.map((name) => found.find(({ group }) => group === name)!.value);
}

async function pointsOf(loaded: LoadedModel, setup: Setup): Promise<{ before: number[]; points: Point[] }> {
  const { values, groups, seed, signal, loader } = setup;
  const split = new Split(values.ability_scaling_held, seed, "--ability-scaling-held");
  const learnt: Part[] = [];
  for (const group of split.rest(groups))
    learnt.push({ name: group.name, material: await drawRows(loaded, group, seed) });
  const before = await valuesOf(loaded, split, setup);
  const weights = new Perturbation(loader.gpu, loaded.model.trainable());
  weights.save();
  const points: Point[] = [];
  for (const { way, varied, fraction, fractions } of plansOf(setup)) {
    // At least a row of what takes part at all.
    const rows = learnt.map(({ material }, i) => Math.ceil(fractions[i]! * material.rows.length));
    const parts = learnt.map((part, i) => ({ ...part, rows: rows[i]! }));
    const source = mixedBatches(parts, { batchSize: values.ability_scaling_batch, seed });
    await trainShortly(loaded, source, {
      ...{ steps: values.ability_scaling_epochs * source.batchesPerEpoch, lr: values.ability_scaling_lr },
      ...{ seed, signal, rateFlag: "--ability-scaling-lr" },
    });
    const name = varied === undefined ? undefined : groups[varied]!.name;
    points.push({ way, varied: name, fraction, rows, values: await valuesOf(loaded, split, setup) });
    weights.restore();
    loader.tick(loaded.ref);
  }
  await weights.free();
  return { before, points };
}

interface Row {
  readonly model: string;
  readonly ability: string;
  readonly before: number;
  /** Of each way in which the ability's own rows vary. */
  readonly laws: readonly (ScalingLaw & { readonly way: Way })[];
  /** Mixed less alone, at the least and at the largest fraction; where both were tried. */
  readonly mixing?: { readonly least: number; readonly largest: number };
}

/** What the runs say of every ability. */
function rowsOf(model: string, { before, points }: { before: number[]; points: Point[] }, setup: Setup): Row[] {
  return setup.groups.map(({ name }, i) => {
    const own = (way: Way) => points.filter((point) => point.way === way && (point.varied ?? name) === name);
    const laws = WAYS.flatMap((way) => {
      const law = scalingLaw(own(way).map(({ rows, values }) => [rows[i]!, values[i]!]));
      return law ? [{ way, ...law }] : [];
    });
    const [alone, mixed] = [own("alone"), own("mixed")];
    const gap = (at: number) => mixed.at(at)!.values[i]! - alone.at(at)!.values[i]!;
    return {
      ...{ model, ability: name, before: before[i]!, laws },
      ...(alone.length > 0 && mixed.length > 0 ? { mixing: { least: gap(0), largest: gap(-1) } } : {}),
    };
  });
}

export const method = defineTechnique({
  name: "ability-scaling",
  title: "Scaling of abilities",
  about:
    "fine-tunes each model on fractions of groups, alone and together: how every ability grows, and what mixing does",
  cite: "arXiv:2310.05492",
  metrics: ["accuracy"],
  options: OPTIONS,
  laws: { reproducible: true, companions: true },
  check,

  async run(setup) {
    const { candidates, groups, loader } = setup;
    const runs = plansOf(setup).length;
    loader.announce((readings) => candidates.length * ((1 + runs) * readings + runs));
    const found = await eachTrained(setup, async (loaded) => {
      const all = await pointsOf(loaded, setup);
      return { ...all, model: loaded.ref, rows: rowsOf(loaded.ref, all, setup) };
    });
    const names = groups.map(({ name }) => name);
    const table = found.flatMap(({ model, before, points, rows }) => [
      [model, "before", "", "", ...before],
      ...points.map(({ way, varied, fraction, values }) => [model, way, varied ?? "all", fraction, ...values]),
      ...WAYS.flatMap((way) => {
        const laws = rows.map(({ laws }) => laws.find((law) => law.way === way));
        return laws.some((law) => law) ? [[model, `b of P = a D^b, ${way}`, "", "", ...laws.map((law) => law?.b)]] : [];
      }),
    ]);
    return {
      table: [["model", "what", "of", "fraction", ...names], ...table],
      json: { points: found.map(({ model, points }) => ({ model, points })), rows: found.flatMap(({ rows }) => rows) },
    };
  },
});
