/**
 * What the predictors of a model switch off on rows (`train --dynamic-width ftwt`): the share of units of each layer
 * that is computed, how often a predictor is right about what fires, and the mean share of operations that is saved.
 * The predictors' own operations are not counted: they are few where they see the mean of many tokens, and as many as a
 * layer's in a perceptron. Elkerdawy et al., CVPR 2022, https://arxiv.org/abs/2110.08232
 */
import { UserError } from "../../../errors.ts";
import { readBatches } from "../../../run/batches-in-order.ts";
import { switchesOf } from "../../../run/tracing/firing.ts";
import { defineTechnique } from "../../technique.ts";

export const method = defineTechnique({
  name: "dynamic-width",
  title: "Switched units",
  about: "units that predictors switch off for each input, and the operations that saves",
  cite: "arXiv:2110.08232",
  metrics: [],
  task: "classifier",
  options: {
    dynamic_width_batch: { type: "number.integer >= 1", default: 32, help: "rows of a batch", value: "N" },
  },
  laws: { reproducible: true, companions: true },

  check({ metrics, gold }) {
    if (metrics.length > 0)
      throw new UserError("--metric has no effect with --probe dynamic-width, which looks at masks", "leave it out");
    if (gold)
      throw new UserError("--gold has no effect with --probe dynamic-width", "give the model as one more argument");
  },

  async run({ values, groups, candidates, quantize, loader, signal }) {
    const rows = [];
    for (const [i, checkpoint] of candidates.entries()) {
      const loaded = await loader.load(checkpoint, { bits: quantize });
      const { model, ref } = loaded;
      const { batches } = await readBatches(groups, loaded, values.dynamic_width_batch);
      const all = batches.reduce((sum, batch) => sum + batch.rows, 0);
      if (i === 0) loader.begin(candidates.length * all, "rows");
      const found = await switchesOf(model, batches, { ref, signal, done: (many) => loader.tick(ref, many) });
      rows.push({ model: ref, operations_saved: found.saved, layers: found.layers });
      await loaded.free();
    }
    const table = rows.flatMap(({ model, operations_saved: saved, layers }) => [
      ...layers.map(({ layer, units, kept, fires, right }) => [
        model,
        `${layer}`,
        units,
        kept,
        fires,
        right,
        undefined,
      ]),
      [model, "all", undefined, undefined, undefined, undefined, saved],
    ]);
    const header = ["model", "layer", "units", "kept", "fires", "right", "operations saved"];
    return { table: [header, ...table], json: { rows } };
  },
});
