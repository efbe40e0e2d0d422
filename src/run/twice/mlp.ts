/** The layers of model/architectures/mlp.ts, on values that are differentiable twice. */
import type { MlpConfig } from "../../model/architectures/mlp.ts";
import { gelu, relu, sigmoid } from "../../tensor/twice/ops.ts";
import type { Value } from "../../tensor/twice/value.ts";
import { batchNormed } from "./batch-norm.ts";
import { linear, type Passing, type Weights } from "./pass.ts";

const ACTIVATIONS = { relu, gelu, sigmoid } as const;

/** (n, inputs) -> (n, width) */
export const mlpFeatures =
  (c: MlpConfig) =>
  (weights: Weights, rows: Value, passing: Passing = {}): Value => {
    let x = rows;
    for (const i of c.hidden.keys()) {
      const own = linear(weights, `layers.${i}`, x);
      const read = c.norm ? batchNormed(weights, c.norm, `norms.${i}`, own, passing) : own;
      x = ACTIVATIONS[c.act](read);
      passing.layer?.(i, x);
    }
    return x;
  };
