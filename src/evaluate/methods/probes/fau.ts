/**
 * The fraction of active units, and the share of dormant ones, of every feed-forward network of a model on rows: what
 * it can still learn with. How they are counted: run/tracing/active-units.ts.
 *
 * Ma et al., Revisiting Plasticity in Visual Reinforcement Learning: Data, Modules and Training Stages, ICLR 2024,
 * https://arxiv.org/abs/2310.07418
 */
import { UserError } from "../../../errors.ts";
import { readBatches } from "../../../run/batches-in-order.ts";
import { ACTIVE, activeUnits } from "../../../run/tracing/active-units.ts";
import { defineTechnique } from "../../technique.ts";

const meanOf = (values: readonly number[]): number => values.reduce((sum, x) => sum + x, 0) / values.length;

export const method = defineTechnique({
  name: "fau",
  title: "Active units",
  about: "fraction of active units and share of dormant ones in every feed-forward network: plasticity",
  cite: "arXiv:2310.07418",
  metrics: [],
  options: {
    fau_above: {
      type: "number >= 0",
      default: ACTIVE.above,
      help: "of the rms of a token's units, what counts as active; of ReLU all above 0 does",
    },
    fau_dormant: {
      type: "number >= 0",
      default: ACTIVE.dormant,
      help: "of the layer's mean activation, what a unit that counts as dormant has at most",
    },
    fau_batch: { type: "number.integer >= 1", default: 2, help: "rows of a batch", value: "N" },
  },
  laws: { reproducible: true, companions: true },

  check({ metrics, gold }) {
    if (metrics.length > 0)
      throw new UserError("--metric has no effect with --probe fau, which looks at activations", "leave it out");
    if (gold) throw new UserError("--gold has no effect with --probe fau", "give the model as one more argument");
  },

  async run({ values, groups, candidates, quantize, loader, signal }) {
    const { fau_above: above, fau_dormant: dormant, fau_batch: size } = values;
    const rows = [];
    for (const [i, checkpoint] of candidates.entries()) {
      const loaded = await loader.load(checkpoint, { bits: quantize });
      const { model, ref } = loaded;
      const { batches } = await readBatches(groups, loaded, size);
      const all = batches.reduce((sum, batch) => sum + batch.rows, 0);
      if (i === 0) loader.begin(candidates.length * all, "rows");
      const found = await activeUnits(model, batches, {
        above,
        dormant,
        ref,
        signal,
        done: (many) => loader.tick(ref, many),
      });
      const layers = [...found].map(([layer, activity]) => ({ layer, ...activity }));
      const [active, quiet] = [layers.map((layer) => layer.active), layers.map((layer) => layer.dormant)];
      rows.push({ model: ref, active: meanOf(active), dormant: meanOf(quiet), layers });
      await loaded.free();
    }
    const table = rows.flatMap(({ model, active, dormant: quiet, layers }) => [
      ...layers.map(({ layer, ...own }) => [model, layer, own.units, own.active, own.dormant]),
      [model, "mean", undefined, active, quiet],
    ]);
    return { table: [["model", "layer", "units", "active", "dormant"], ...table], json: { rows } };
  },
});
