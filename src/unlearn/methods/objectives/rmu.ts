/**
 * RMU: hidden states of the forget set are drawn to a fixed random vector, those of the retain set to what they were.
 * Li et al., ICML 2024, https://arxiv.org/abs/2403.03218
 *
 *   forget  mean over tokens and width of (h - u)^2, u uniform in [0, 1) scaled to norm c
 *   retain  mean over tokens and width of (h - h_theta0)^2
 *
 * h is the output of block `layer`; gradients do not reach beyond it.
 */
import { UserError } from "../../../errors.ts";
import { keyedUnits } from "../../../keyed-random.ts";
import type { Recorded } from "../../../model/model.ts";
import { square, sub } from "../../../tensor/ops/elementwise.ts";
import { rowSum } from "../../../tensor/ops/reduce.ts";
import { defineObjective, EVERY_LAW } from "../../contract.ts";

/** u: (width), of length c. */
export function steeringVector(width: number, c: number, seed: number): Float32Array {
  const unit = keyedUnits(seed, "rmu");
  const u = Float64Array.from({ length: width }, () => unit());
  const length = Math.sqrt(u.reduce((sum, x) => sum + x * x, 0));
  return Float32Array.from(u, (x) => (c * x) / length);
}

const stateAt = ({ notes }: Recorded, layer: number) => notes.get(`hidden.${layer + 1}`)!;
const layerOf = (layer: number | undefined, layers: number): number => layer ?? Math.floor(layers / 3);

export const method = defineObjective({
  name: "rmu",
  title: "Representation misdirection",
  about: "draws the forget set's hidden states to a random vector and holds the retain set's",
  cite: "arXiv:2403.03218",
  laws: { ...EVERY_LAW, forgets: "hidden states are moved, whatever is read from them" },
  per: "sequence-mean",
  weights: { forget: 1, retain: 1 },
  retain: "states",
  options: {
    layer: {
      type: "number.integer >= 0",
      help: "block whose output is steered, from 0; a third of the way up when left out",
    },
    c: { type: "number > 0", default: 2, help: "length of the vector; 20 in the original" },
  },
  check({ layer }, { layers }) {
    if (layerOf(layer, layers) >= layers)
      throw new UserError(`--layer ${layer}: the model has blocks 0 to ${layers - 1}`);
  },
  states(rec, { current, reference, part, layers, width, seed, values: { layer, c } }) {
    const at = layerOf(layer, layers);
    const h = stateAt(current, at); // (N, C)
    const goal =
      part === "forget"
        ? rec.constant(steeringVector(width, c, seed), [width], "steering vector")
        : stateAt(reference!, at);
    return rowSum(rec, square(rec, sub(rec, h, goal)), 1 / width);
  },
});
