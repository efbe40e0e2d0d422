/** The objective of classification: mean cross-entropy of the labels. */
import type { ExampleBatch } from "../../data/batch.ts";
import type { Model } from "../../model/model.ts";
import { crossEntropy } from "../../tensor/ops/cross-entropy.ts";
import { dot } from "../../tensor/ops/reduce.ts";
import type { Objective } from "./objective.ts";

export function classificationObjective(
  model: Model,
  { smoothing }: { readonly smoothing?: number } = {},
): Objective<ExampleBatch> {
  return {
    name: "cross-entropy",
    key: ({ rows }) => `${rows}`,
    counted: ({ rows }) => rows,
    size: ({ rows }) => rows,

    record(rec, { rows, shape }) {
      const x = rec.input("x", [rows, ...shape]);
      const { hidden, head } = model.record(rec, { batch: rows, x });
      const weights = rec.input("weights", [rows]);
      const nll = crossEntropy(rec, head(hidden), rec.input("targets", [rows], "i32"), smoothing ? { smoothing } : {});
      return { backward: [[nll, weights]], metrics: { loss: dot(rec, nll, weights) } };
    },

    fill(program, { x, labels, rows }, total) {
      program.write("x", x);
      program.write("targets", labels);
      program.write("weights", new Float32Array(rows).fill(1 / total));
    },
  };
}
