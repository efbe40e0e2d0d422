/**
 * Hidden-state transfer: student layers are drawn to teacher layers, through a learned projection where widths differ. FitNets, Romero
 * et al., ICLR 2015, https://arxiv.org/abs/1412.6550
 *
 *   mse      mean over pairs of |P h_S - h_T|^2 / d        cosine  mean over pairs of 1 - cos(P h_S, h_T)
 *
 * Layer 0 is the embedding, layer L the output of the last block, "last" what the head reads. Projections are left out of the result.
 */
import { UserError } from "../../errors.ts";
import type { ModelSizes } from "../../model/architecture.ts";
import type { Recorded } from "../../model/model.ts";
import { add, addScalar, clamp, div, mul, neg, scale, sqrt, square, sub } from "../../tensor/ops/elementwise.ts";
import { linear } from "../../tensor/ops/linear.ts";
import { rowSum } from "../../tensor/ops/reduce.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { defineDistillation } from "../contract.ts";

type Layer = number | "last";

/** Reads "1:2,last:last". Throws UserError for a layer that is none. */
export function layerPairs(text: string): [Layer, Layer][] {
  return text.split(",").map((pair) => {
    const layers = pair.split(":").map((part) => part.trim());
    if (layers.length !== 2 || layers.some((layer) => !/^(last|\d+)$/.test(layer)))
      throw new UserError(
        `--layers: ${JSON.stringify(pair)} is no pair of layers`,
        "write student:teacher, such as --layers 2:4,last:last",
      );
    return layers.map((layer): Layer => (layer === "last" ? layer : Number(layer))) as [Layer, Layer];
  });
}

function stateOf({ hidden, notes }: Recorded, layer: Layer, whose: string, { layers }: ModelSizes): Tensor {
  if (layer === "last") return hidden;
  const found = notes.get(`hidden.${layer}`);
  if (!found) throw new UserError(`--layers: the ${whose} has no layer ${layer}`, `it has 0 to ${layers}, and last`);
  return found;
}

/** |x - y|^2 / d of every row: (N, d) each -> (N). */
export const meanSquare = (rec: Recorder, x: Tensor, y: Tensor): Tensor =>
  rowSum(rec, square(rec, sub(rec, x, y)), 1 / x.shape.at(-1)!);

/** 1 - cos(x, y) of every row: (N, d) each -> (N). */
export function cosineDistance(rec: Recorder, x: Tensor, y: Tensor): Tensor {
  const norms = mul(rec, rowSum(rec, square(rec, x)), rowSum(rec, square(rec, y)));
  const cosine = div(rec, rowSum(rec, mul(rec, x, y)), sqrt(rec, clamp(rec, norms, 1e-24, 3e38)));
  return addScalar(rec, neg(rec, cosine), 1);
}

export const method = defineDistillation({
  name: "hidden",
  title: "Hidden states",
  about: "student layers drawn to teacher layers, through a learned projection where widths differ",
  cite: "arXiv:1412.6550",
  weights: { labels: 1 },
  options: {
    layers: {
      type: "string",
      default: "last:last",
      help: "pairs student:teacher, such as 2:4,last:last",
      value: "S:T,...",
    },
    distance: { type: "'mse' | 'cosine'", default: "mse", help: "what is drawn to 0" },
    project: { type: "boolean", default: false, help: "a projection even where widths agree" },
  },
  check: ({ layers }) => void layerPairs(layers),
  extra: ({ student, teacher, values: { layers, project } }) =>
    student.width === teacher!.width && !project
      ? []
      : layerPairs(layers).map((_, i) => ({
          name: `projection.${i}`,
          shape: [teacher!.width, student.width],
          std: Math.sqrt(2 / (student.width + teacher!.width)),
        })),
  states(rec, { student, teacher, sizes, values: { layers, distance, project }, extra }) {
    const pairs = layerPairs(layers);
    const projected = project || sizes.student.width !== sizes.teacher.width;
    const losses = pairs.map(([s, t], i) => {
      const own = stateOf(student, s, "student", sizes.student);
      const y = stateOf(teacher, t, "teacher", sizes.teacher);
      const widths = [own, y].map((x) => x.shape.at(-1)!);
      // Layers of a decoder are all alike; those of a plain network are not.
      if (widths[0] !== sizes.student.width || widths[1] !== sizes.teacher.width)
        throw new UserError(
          `--layers ${s}:${t}: the student's is ${widths[0]} wide, the teacher's ${widths[1]}`,
          `choose layers as wide as the last: ${sizes.student.width} and ${sizes.teacher.width}`,
        );
      const x = projected ? linear(rec, own, extra(`projection.${i}`)) : own;
      return distance === "mse" ? meanSquare(rec, x, y) : cosineDistance(rec, x, y);
    });
    return scale(
      rec,
      losses.reduce((a, b) => add(rec, a, b)),
      1 / losses.length,
    );
  },
});
