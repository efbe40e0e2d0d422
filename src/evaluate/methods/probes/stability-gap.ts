/**
 * How far abilities fall when a model is trained on in a new domain, and how long until they are back. Guo et al. 2024,
 * Efficient Continual Pre-training by Mitigating the Stability Gap, https://arxiv.org/abs/2406.14833
 *
 *   gap       the most that the loss of a group is above that at the start, 0 where it never is
 *   recovery  the first step after the worst one at which it is down again
 *   gain      loss at the start less loss at the end
 *
 * for every group of --data; its held-out rows are measured. The new group is trained on, with a share of the others
 * where that is asked for; the rate is constant after its warm-up. The distance of the weights from their start is told
 * beside, as a whole and by layer. Host memory: one copy of the trained weights.
 */
import { UserError } from "../../../errors.ts";
import { layerOf } from "../../../model/names.ts";
import { requireGroup } from "../../../run/measuring/groups.ts";
import type { LoadedModel } from "../../../run/measuring/loaded-model.ts";
import { readWeights, squaredDistances, type Weights } from "../../../run/probing/host-weights.ts";
import { mixedBatches } from "../../../run/training/short-training.ts";
import { refuseMeasures } from "../../look-at.ts";
import { gapOf } from "../../short-runs/gap.ts";
import { eachTrained } from "../../short-runs/trained-models.ts";
import { divideRows, Trials } from "../../short-runs/trials.ts";
import { defineTechnique, type TechniqueInfo, type TechniqueSetup } from "../../technique.ts";

const COUNT = "number.integer >= 1";
const OPTIONS = {
  stability_gap_new: { type: "string", default: "new", help: "group of the new domain", value: "NAME" },
  stability_gap_share: {
    type: "0 <= number < 1",
    default: 0,
    help: "share of the other groups in what is trained on, each by its rows",
    value: "F",
  },
  stability_gap_rows: {
    type: COUNT,
    help: "rows of the new group that are trained on, again and again; all when left out",
    value: "N",
  },
  stability_gap_steps: { type: COUNT, default: 200, help: "steps", value: "N" },
  stability_gap_every: { type: COUNT, default: 5, help: "steps between two measurements", value: "N" },
  stability_gap_lr: { type: "number > 0", default: 3e-4, help: "rate of AdamW", value: "RATE" },
  stability_gap_warmup: { type: "number.integer >= 0", default: 0, help: "steps in which it rises", value: "N" },
  stability_gap_batch: { type: COUNT, default: 8, help: "rows of a step", value: "N" },
  stability_gap_held: { type: "0 < number < 1", default: 0.2, help: "share of the rows that is measured", value: "F" },
} as const;

type Setup = TechniqueSetup<typeof OPTIONS>;

function check(info: TechniqueInfo<typeof OPTIONS>): void {
  refuseMeasures("stability-gap", info);
  const { values, groups } = info;
  requireGroup(values.stability_gap_new, groups, { asker: "--probe stability-gap", flag: "--stability-gap-new" });
  if (values.stability_gap_share > 0 && groups.length < 2)
    throw new UserError(
      `--stability-gap-share ${values.stability_gap_share} is of other groups than ${values.stability_gap_new}, and there are none`,
      "give old rows, --data old=rows.jsonl",
    );
}

/** Distances of the weights from a start, root of the sum of squares: of all, and of each layer and what is in none. */
async function driftFrom(loaded: LoadedModel, start: Weights) {
  const squares = squaredDistances(start, await readWeights(loaded.model));
  const layers = new Map<string, number>();
  for (const [{ name }, square] of squares) {
    const layer = layerOf(name);
    const key = layer === undefined ? "outside" : `${layer}`;
    layers.set(key, (layers.get(key) ?? 0) + square);
  }
  const total = Math.sqrt([...layers.values()].reduce((a, b) => a + b, 0));
  return { total, layers: Object.fromEntries([...layers].map(([key, square]) => [key, Math.sqrt(square)])) };
}

async function rowsOf(loaded: LoadedModel, setup: Setup) {
  const { values, groups, seed } = setup;
  const { stability_gap_new: name, stability_gap_share: share, stability_gap_warmup: warmup } = values;
  const { stability_gap_batch: batch, stability_gap_steps: steps, stability_gap_lr: lr } = values;
  const division = { held: values.stability_gap_held, flag: "--stability-gap-held", batch, seed };
  const { learnt, held } = await divideRows(loaded, groups, division);
  const others = learnt.filter((part) => part.name !== name);
  const all = others.reduce((sum, { material }) => sum + material.rows.length, 0);
  const parts = learnt.map((part) => {
    const { length } = part.material.rows;
    if (part.name === name)
      return { ...part, rows: Math.min(values.stability_gap_rows ?? length, length), weight: 1 - share };
    return { ...part, weight: (share * length) / all };
  });
  const trials = new Trials(loaded, held, { ...setup, rateFlag: "--stability-gap-lr" });
  const start = await readWeights(loaded.model);
  const drift: { step: number; distance: number }[] = [];
  let layers: Readonly<Record<string, number>> = {};
  try {
    const { points } = await trials.run(
      {
        source: mixedBatches(parts, { batchSize: batch, seed }),
        steps,
        rate: (step) => lr * Math.min(1, (step - 1) / Math.max(1, warmup) + Number(warmup === 0)),
      },
      {
        every: values.stability_gap_every,
        look: async (step) => {
          const found = await driftFrom(loaded, start);
          drift.push({ step, distance: found.total });
          layers = found.layers;
        },
      },
    );
    const { ref: model } = loaded;
    const rows = held.map((group, i) => {
      const course = points.map(({ step, losses }) => ({ step, loss: losses[i]! }));
      return { model, group: group.name, ...gapOf(course), course };
    });
    return { rows, drift: { model, course: drift, layers } };
  } finally {
    await trials.free();
  }
}

export const method = defineTechnique({
  name: "stability-gap",
  title: "Stability gap",
  about: "trains each model on in a new domain: how deep and how long losses rise before they fall",
  cite: "arXiv:2406.14833",
  metrics: [],
  options: OPTIONS,
  laws: { reproducible: true, companions: true },
  check,

  async run(setup) {
    const { values, candidates, loader } = setup;
    loader.begin(candidates.length * values.stability_gap_steps, "steps");
    const found = await eachTrained(setup, (loaded) => rowsOf(loaded, setup));
    const rows = found.flatMap((one) => one.rows);
    const header = ["model", "group", "before", "gap", "at step", "recovered at", "after", "gain", "distance"];
    const cells = found.flatMap(({ rows: own, drift }) =>
      own.map(({ model, group, before, gap, worst, recovery, after, gain }) => [
        ...[model, group, before, gap, `${worst}`, recovery === null ? "never" : `${recovery}`, after, gain],
        drift.course.at(-1)!.distance,
      ]),
    );
    return { table: [header, ...cells], json: { drift: found.map(({ drift }) => drift), rows } };
  },
});
