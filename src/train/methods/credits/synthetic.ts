/**
 * Synthetic gradients: behind every hidden layer a small network guesses, from what the layer gives and the label, the
 * gradient that is to come, and the layer changes by the guess at once. What then arrives from the layer above, itself
 * changed by its own guess, corrects the network.
 *
 *   h = layer(sg(h below)),  g' = M(sg(h), label): h takes the gradient g', and M learns |M - g|^2
 *
 * Guesses are of the gradient of a row's own loss. Jaderberg et al., ICML 2017, https://arxiv.org/abs/1608.05343; and
 * "Fast & Slow Learning", 2020, https://arxiv.org/abs/2011.05438, after which rows whose loss is above the mean of the
 * batch change by more: 1 + gate (loss - mean) times the guess. M is trained by the optimizer of the model.
 */
import { type Batch, isTokens } from "../../../data/batch.ts";
import { meanWeights } from "../../../data/targets.ts";
import { spanGroups } from "../../../gpu/grid.ts";
import { fillInputs, fillTargets, recordInputs, recordTargets } from "../../../run/batch-programs.ts";
import { ofBatch } from "../../../run/training/objective.ts";
import { relu } from "../../../tensor/ops/activation.ts";
import { joinColumns } from "../../../tensor/ops/columns.ts";
import { crossEntropy } from "../../../tensor/ops/cross-entropy.ts";
import { addScalar, div, mul, scale, sqrt, stopGradient, sub } from "../../../tensor/ops/elementwise.ts";
import { dot, mean } from "../../../tensor/ops/reduce.ts";
import type { Recorder } from "../../../tensor/recorder.ts";
import { sizeOf, type Tensor } from "../../../tensor/tensor.ts";
import { layerBeside, parametersOf, through } from "../../beside.ts";
import { defineCredit } from "../../credit.ts";

const TINY = 1e-20;

function copyTo(rec: Recorder, x: Tensor, y: Tensor): void {
  const n = sizeOf(x.shape);
  const bind = { x, y };
  rec.step({ kernel: "recorder/add-into", bind, params: { n, accumulate: 0 }, groups: spanGroups(Math.ceil(n / 4)) });
}

/** x again; on the way back x takes the gradient that `told` makes of the one that arrived. */
export function relayed(rec: Recorder, x: Tensor, told: (arrived: Tensor) => Tensor): Tensor {
  const y = rec.result(x.shape, [x], `${x.label}, relayed`);
  copyTo(rec, x, y);
  rec.onBackward(y, (dy) => rec.addGradient(x, told(dy)));
  return y;
}

/** The cosine of two tensors of one shape, (1); 0 where one is zero. */
function cosine(rec: Recorder, a: Tensor, b: Tensor): Tensor {
  const norms = sqrt(rec, mul(rec, dot(rec, a, a), dot(rec, b, b)));
  return div(rec, dot(rec, a, b), addScalar(rec, norms, TINY));
}

export const method = defineCredit({
  name: "synthetic",
  title: "Synthetic gradients",
  about: "layers change by gradients that small networks guess, which learn from what arrives",
  cite: "arXiv:1608.05343",
  options: {
    synthetic_gate: {
      type: "number >= 0",
      default: 0,
      help: "how much more rows count whose loss is above the mean of the batch",
      value: "K",
    },
    synthetic_exact: {
      type: "boolean",
      default: false,
      help: "hand on what arrives in place of the guess, which is backpropagation, and tell how near the guess is",
    },
  },
  work({ model, widths, values: { synthetic_gate: gate, synthetic_exact: exact }, seed }) {
    const { gpu, sizes } = model;
    const guessers = widths.map((width, i) => ({
      inner: layerBeside(gpu, `synthetic.${i}.in`, [width + sizes.outputs, width], { seed }),
      outer: layerBeside(gpu, `synthetic.${i}.out`, [width, width], "zero"),
    }));
    const of = ofBatch<Batch>((batch) => batch);
    return {
      extra: guessers.flatMap(({ inner, outer }) => parametersOf([inner, outer])),
      objective: {
        name: "synthetic gradients",
        ...of,

        record(rec, batch) {
          const total = rec.input("total", [1]);
          const share = rec.input("share", [1]);
          const label = rec.input("one-hot", [batch.rows, sizes.outputs]);
          const cosines: Record<string, Tensor> = {};
          let rows: Tensor | undefined; // (B, 1) what guesses are multiplied by
          const relay = (level: number, h: Tensor): Tensor => {
            const { inner, outer } = guessers[level - 1]!;
            const seen = joinColumns(rec, [stopGradient(rec, h), label]);
            const guess = through(rec, relu(rec, through(rec, seen, inner)), outer); // (B, width)
            const near = rec.scratch([1], `cosine of guess ${level}`);
            cosines[`cosine.${level}`] = near;
            return relayed(rec, h, (arrived) => {
              const wanted = mul(rec, arrived, total);
              rec.addGradient(guess, scale(rec, div(rec, sub(rec, guess, wanted), total), 2));
              copyTo(rec, mul(rec, cosine(rec, guess, wanted), share), near);
              if (exact) return arrived;
              const told = div(rec, guess, total);
              return rows ? mul(rec, told, rows) : told;
            });
          };
          const { hidden, head } = model.record(rec, recordInputs(rec, batch), {
            statistics: "batch",
            replace(name, x) {
              const [, level] = /^hidden\.([1-9]\d*)$/.exec(name) ?? [];
              return level === undefined ? x : relay(Number(level), x);
            },
          });
          const nll = crossEntropy(rec, head(hidden), recordTargets(rec, batch));
          const weights = rec.input("weights", [batch.rows]);
          if (gate > 0) {
            const losses = stopGradient(rec, nll);
            const above = relu(rec, sub(rec, losses, mean(rec, losses)));
            rows = rec.reshape(addScalar(rec, scale(rec, above, gate), 1), [batch.rows, 1]);
          }
          return { backward: [[nll, weights]], metrics: { loss: dot(rec, nll, weights), ...cosines } };
        },

        fill(program, batch, total) {
          if (isTokens(batch)) throw new TypeError("a perceptron takes numbers, not tokens");
          fillInputs(program, batch);
          const targets = fillTargets(program, batch);
          program.write("weights", meanWeights(targets, total));
          program.write("share", Float32Array.of(batch.counted / total));
          program.write("total", Float32Array.of(total));
          const hot = new Float32Array(batch.rows * sizes.outputs);
          for (const [row, target] of targets.entries()) if (target >= 0) hot[row * sizes.outputs + target] = 1;
          program.write("one-hot", hot);
        },
      },
    };
  },
});
