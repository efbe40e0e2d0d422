/**
 * Hidden-state transfer: student layers are drawn to teacher layers, through a learned projection where widths differ.
 * FitNets, Romero et al., ICLR 2015, https://arxiv.org/abs/1412.6550
 *
 *   mse      mean over pairs of |P h_S - h_T|^2 / d        cosine  mean over pairs of 1 - cos(P h_S, h_T)
 *   pseudo-huber  mean over pairs of sqrt(|P h_S - h_T|^2 + c^2) - c
 *
 * Layer 0 is the embedding, layer L the output of the last block, "last" what the head reads. Projections are left out
 * of the result.
 */
import { UserError } from "../../errors.ts";
import type { ModelSizes } from "../../model/architecture.ts";
import type { Recorded } from "../../model/model.ts";
import { linear } from "../../tensor/ops/linear.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { byRow } from "../by-row.ts";
import { defineDistillation, EVERY_LAW } from "../contract.ts";
import { type Layer, layerPairs, meanOfPairs } from "../layer-pairs.ts";
import { cosineDistance, meanSquare, pseudoHuber } from "../state-distance.ts";

const DISTANCES = { mse: meanSquare, cosine: cosineDistance, "pseudo-huber": pseudoHuber } as const;

function stateOf({ hidden, notes }: Recorded, layer: Layer, whose: string, { layers }: ModelSizes): Tensor {
  if (layer === "last") return hidden;
  const found = notes.get(`hidden.${layer}`);
  if (!found) throw new UserError(`--layers: the ${whose} has no layer ${layer}`, `it has 0 to ${layers}, and last`);
  return found;
}

export const method = defineDistillation({
  name: "hidden",
  title: "Hidden states",
  about: "student layers drawn to teacher layers, through a learned projection where widths differ",
  cite: "arXiv:1412.6550",
  laws: {
    ...EVERY_LAW,
    shiftInvariant: "hidden states are compared, not logits",
    zeroWhereUncounted: "hidden states have no labels",
  },
  weights: { labels: 1 },
  options: {
    layers: {
      type: "string",
      default: "last:last",
      help: "pairs student:teacher, such as 2:4,last:last",
      value: "S:T,...",
    },
    distance: { type: "'mse' | 'cosine' | 'pseudo-huber'", default: "mse", help: "what is drawn to 0" },
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
      return byRow(rec, DISTANCES[distance](rec, x, y), student);
    });
    return meanOfPairs(rec, losses);
  },
});
