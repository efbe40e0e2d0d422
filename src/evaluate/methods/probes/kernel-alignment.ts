/**
 * The alignment of a model's tangent kernel with the labels of rows, and how far it lies from that of the first model:
 * give the checkpoints of a training in their order. Kumar et al., Grokking as the Transition from Lazy to Rich
 * Training Dynamics, ICLR 2024, https://arxiv.org/abs/2310.06110. `train --probe kernel-alignment` tells it on the way.
 */
import { KernelSketch, movement } from "../../../run/probing/kernel-sketch.ts";
import { lookAt, refuseMeasures } from "../../look-at.ts";
import { defineTechnique } from "../../technique.ts";

export const method = defineTechnique({
  name: "kernel-alignment",
  title: "Kernel alignment",
  about: "alignment of the tangent kernel with the labels, and how far it lies from the first model's",
  cite: "arXiv:2310.06110",
  metrics: [],
  options: {
    kernel_alignment_rows: {
      type: "number.integer >= 1",
      default: 16,
      help: "rows whose outputs the kernel is of: the first ones",
      value: "N",
    },
    kernel_alignment_columns: {
      type: "number.integer >= 1",
      default: 32,
      help: "products with the kernel; where there are fewer outputs it is exact, else its norm is an estimate",
      value: "N",
    },
    kernel_alignment_batch: { type: "number.integer >= 1", default: 8, help: "rows of a batch", value: "N" },
  },
  laws: { reproducible: true, companions: "the distance is from the first model's kernel" },

  check: (info) => refuseMeasures("kernel-alignment", info),

  async run(setup) {
    const {
      kernel_alignment_rows: rows,
      kernel_alignment_columns: columns,
      kernel_alignment_batch: size,
    } = setup.values;
    const { seed } = setup;
    const seen = await lookAt(setup, { size, trained: true }, async ({ model, ref }, batches) => {
      const sketch = await KernelSketch.make(model, batches, { rows, columns, seed });
      try {
        return { model: ref, ...(await sketch.measure()) };
      } finally {
        sketch.free();
      }
    });
    const first = seen[0]?.products ?? [];
    const isAlike = (other: typeof first) => other.length === first.length && other[0]?.length === first[0]?.length;
    const found = seen.map(({ model, alignment, size: norm, exact, products }) => ({
      ...{ model, alignment, size: norm, exact },
      ...(isAlike(products) ? { movement: movement(first, products) } : {}),
    }));
    const lines = found.map((row) => [
      row.model,
      row.alignment,
      row.size,
      row.movement,
      row.exact ? "exact" : "estimate",
    ]);
    return { table: [["model", "alignment", "norm", "movement", "kernel"], ...lines], json: { rows: found } };
  },
});
