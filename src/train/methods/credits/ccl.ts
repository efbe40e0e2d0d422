/**
 * Counter-current learning: beside the model, whose layers go from inputs up, a second network goes from the labels
 * down, and layers that meet teach each other. No gradient crosses a layer of either.
 *
 *   a_l = act(F_l sg(a_{l-1})),  c_{l-1} = relu(B_l sg(c_l)),  c_L = one-hot label
 *   loss of level l = s 256 / width mean_ij (<a_l(i), c_l(j)> - [y_i = y_j])^2
 *
 * over pairs of rows of a batch, and cross-entropy for the head alone. Kao and Hariharan, NeurIPS 2024,
 * https://arxiv.org/abs/2409.19841. Clipping is of both networks at once, and gradients are not centred.
 */
import { type Batch, isTokens } from "../../../data/batch.ts";
import { meanWeights, targetsOf } from "../../../data/targets.ts";
import type { Model } from "../../../model/model.ts";
import { fillInputs, fillTargets, recordInputs, recordTargets } from "../../../run/batch-programs.ts";
import { ofBatch } from "../../../run/training/objective.ts";
import { relu } from "../../../tensor/ops/activation.ts";
import { crossEntropy } from "../../../tensor/ops/cross-entropy.ts";
import { add, addScalar, div, mul, scale, sqrt, square, stopGradient, sub } from "../../../tensor/ops/elementwise.ts";
import { linear } from "../../../tensor/ops/linear.ts";
import { dot, mean, rowSum } from "../../../tensor/ops/reduce.ts";
import type { Program } from "../../../tensor/program.ts";
import type { Recorder } from "../../../tensor/recorder.ts";
import type { Tensor } from "../../../tensor/tensor.ts";
import { type Layer, layerBeside, parametersOf, through } from "../../beside.ts";
import { defineCredit } from "../../credit.ts";

const TINY = 1e-12;

/** Mean cosine of rows a (B, width) and c (B, width), (1). */
function alignment(rec: Recorder, a: Tensor, c: Tensor): Tensor {
  const norm = (x: Tensor) => sqrt(rec, addScalar(rec, rowSum(rec, square(rec, x)), TINY));
  return mean(rec, div(rec, rowSum(rec, mul(rec, a, c)), mul(rec, norm(a), norm(c))));
}

/** The loss of a level of a (B, width) and c (B, width), whose rows are alike where `same` (B, B) is 1: (1). */
export function levelLoss(rec: Recorder, a: Tensor, c: Tensor, same: Tensor, factor: number): Tensor {
  const width = a.shape.at(-1)!;
  return scale(rec, mean(rec, square(rec, sub(rec, linear(rec, a, c), same))), (256 * factor) / width);
}

/** Labels as rows (B, classes), and which rows have the same, (B, B); a row without one is like none. */
function labelRows(targets: Int32Array, classes: number): { readonly hot: Float32Array; readonly same: Float32Array } {
  const rows = targets.length;
  const hot = new Float32Array(rows * classes);
  const same = new Float32Array(rows * rows);
  for (const [i, label] of targets.entries()) {
    if (label < 0) continue;
    hot[i * classes + label] = 1;
    for (const [j, other] of targets.entries()) if (other === label) same[i * rows + j] = 1;
  }
  return { hot, same };
}

export interface Level {
  /** What the layer of the model gives, (B, width). */
  readonly a: Tensor;
  /** What that of the network from the labels gives, (B, width). */
  readonly c: Tensor;
  /** (1) */
  readonly loss: Tensor;
}

interface LevelsGiven {
  readonly model: Model;
  /** Layers from the level above, or the labels, to each level. */
  readonly feedback: readonly Layer[];
  readonly factor: number;
}

/** Records both networks on a batch, with a loss for every level, and what the head reads. */
export function recordLevels(rec: Recorder, batch: Batch, { model, feedback, factor }: LevelsGiven) {
  const forward: Tensor[] = [];
  const { hidden, head } = model.record(rec, recordInputs(rec, batch), {
    statistics: "batch",
    replace(name, x) {
      const [, level] = /^hidden\.([1-9]\d*)$/.exec(name) ?? [];
      if (level === undefined) return x;
      forward[Number(level) - 1] = x;
      return stopGradient(rec, x);
    },
  });
  const same = rec.input("same label", [batch.rows, batch.rows]);
  let above = rec.input("one-hot", [batch.rows, model.sizes.outputs]);
  const levels: Level[] = [];
  for (const [level, a] of [...forward.entries()].reverse()) {
    const c = relu(rec, through(rec, stopGradient(rec, above), feedback[level]!));
    levels.unshift({ a, c, loss: levelLoss(rec, a, c, same, factor) });
    above = c;
  }
  return { levels, hidden, head };
}

/** Fills what the recording reads. Throws TypeError for tokens. */
export function fillLevels(program: Program, batch: Batch, classes: number): void {
  if (isTokens(batch)) throw new TypeError("a perceptron takes numbers, not tokens");
  fillInputs(program, batch);
  const { hot, same } = labelRows(targetsOf(batch), classes);
  program.write("one-hot", hot);
  program.write("same label", same);
}

export const method = defineCredit({
  name: "ccl",
  title: "Counter-current learning",
  about: "a network from labels down meets the model, layer by layer; no gradient crosses one",
  cite: "arXiv:2409.19841",
  options: {
    ccl_scale: { type: "number > 0", default: 0.5, help: "times the losses of levels", value: "S" },
  },
  work({ model, widths, values: { ccl_scale: factor }, seed }) {
    const sources = [...widths.slice(1), model.sizes.outputs];
    const feedback = widths.map((width, i) => layerBeside(model.gpu, `ccl.${i}`, [sources[i]!, width], { seed }));
    return {
      extra: parametersOf(feedback),
      objective: {
        name: "ccl",
        ...ofBatch<Batch>((batch) => batch),

        record(rec, batch) {
          const { levels, hidden, head } = recordLevels(rec, batch, { model, feedback, factor });
          const nll = crossEntropy(rec, head(hidden), recordTargets(rec, batch));
          const weights = rec.input("weights", [batch.rows]);
          const share = rec.input("share", [1]);
          const local = levels.map(({ loss }) => loss).reduce((sum, loss) => add(rec, sum, loss));
          const alignments = levels.map(({ a, c }, i) => {
            const found = alignment(rec, stopGradient(rec, a), stopGradient(rec, c));
            return [`alignment.${i + 1}`, mul(rec, found, share)] as const;
          });
          return {
            backward: [
              [nll, weights],
              [local, share],
            ],
            metrics: {
              loss: dot(rec, nll, weights),
              local_loss: mul(rec, local, share),
              ...Object.fromEntries(alignments),
            },
          };
        },

        fill(program, batch, total) {
          fillLevels(program, batch, model.sizes.outputs);
          program.write("weights", meanWeights(fillTargets(program, batch), total));
          program.write("share", Float32Array.of(batch.counted / total));
        },
      },
    };
  },
});
