/**
 * The share of rows whose class provably no input of a ball about them changes: interval bounds of the logits say so
 * for a row where the label's lies above every other for all inputs of the ball. It is a lower bound of the accuracy
 * under any attack within the ball, as --attack pgd is an upper one.
 *
 * Gowal et al., ICCV 2019, https://arxiv.org/abs/1810.12715. Bounds are computed in f32, and off by what f32 rounds.
 */
import { type NumbersBatch, stackExamples } from "../../../data/batch.ts";
import { inBatches } from "../../../data/dataset.ts";
import { loadExamples } from "../../../data/examples.ts";
import { UserError } from "../../../errors.ts";
import { checkRange, rangeOf } from "../../../run/adversarial/options.ts";
import { certifiedRows } from "../../../run/certifying/certified-rows.ts";
import { expectBounds } from "../../../run/certifying/margins.ts";
import { defineTechnique } from "../../technique.ts";

/** Rows of a batch. */
const ROWS = 64;

const shareOf = (list: readonly boolean[]): number => list.filter(Boolean).length / list.length;

export const method = defineTechnique({
  name: "ibp",
  title: "Interval bounds",
  about: "of a classifier of numbers: rows that provably keep their class within a ball, by interval bounds",
  cite: "arXiv:1810.12715",
  metrics: [],
  task: "classifier",
  options: {
    ibp_epsilon: {
      type: "number >= 0",
      help: "radius of the ball: how far each input may be from what it is; a tenth of their range when left out",
      value: "R",
    },
    ibp_range: {
      type: "number[]",
      help: "least and largest value that an input may take, 0,1; those of the data when left out",
      value: "LO,HI",
    },
  },
  laws: { reproducible: true, companions: true },

  check({ values, metrics, gold }) {
    checkRange(values.ibp_range, "--ibp-range");
    if (metrics.length > 0)
      throw new UserError("--metric has no effect with --probe ibp, which counts rows itself", "leave it out");
    if (gold) throw new UserError("--gold has no effect with --probe ibp", "give the model as one more argument");
  },

  async run({ values, groups, candidates, quantize, loader, signal }) {
    const found = [];
    let shown = 0;
    for (const [i, checkpoint] of candidates.entries()) {
      const loaded = await loader.load(checkpoint, { bits: quantize, trained: true });
      const { model, ref } = loaded;
      if (loaded.tools) throw new UserError(`--probe ibp needs a classifier, and ${ref} is none`);
      expectBounds(model, ref, "--probe ibp");
      const examples = (await loadExamples(groups, loaded.examples)).flatMap((row) => ("x" in row ? [row] : []));
      const range = rangeOf(examples, values.ibp_range, "--ibp-range");
      const epsilon = values.ibp_epsilon ?? 0.1 * (range[1] - range[0]);
      shown = epsilon;
      if (i === 0) loader.begin(candidates.length * examples.length, "rows");
      const batches: NumbersBatch[] = [];
      for await (const part of inBatches(examples, ROWS)) batches.push(stackExamples(part));
      const rows = await certifiedRows(model, batches, {
        ...{ epsilon, range, signal },
        done: (count) => loader.tick(ref, count),
      });
      for (const [group, { name }] of groups.entries()) {
        const own = rows.filter((_, row) => (examples[row]!.group ?? 0) === group);
        if (own.length === 0) continue;
        found.push({
          ...{ model: ref, group: name, rows: own.length, epsilon },
          accuracy: shareOf(own.map(({ right }) => right)),
          certified: shareOf(own.map(({ certified }) => certified)),
          width: own.reduce((total, { width }) => total + width, 0) / own.length,
        });
      }
      await loaded.free();
    }
    const header = ["model", "group", "accuracy", `certified ${Number(shown.toPrecision(3))}`, "width"];
    const cells = found.map((row) => [row.model, row.group, row.accuracy, row.certified, row.width]);
    return { table: [header, ...cells], json: { rows: found } };
  },
});
