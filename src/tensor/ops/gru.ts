/**
 * Gated recurrent units over the tokens of rows, by weights as PyTorch's GRU has them: (3 H, ...) with the rows of the
 * gates reset, update and new. Cho et al., EMNLP 2014, https://arxiv.org/abs/1406.1078
 */
import type { Recorder } from "../recorder.ts";
import { expectShape, rowsOf, showShape, sizeOf, type Tensor } from "../tensor.ts";
import { product } from "./linear.ts";
import { columnSums } from "./reduce.ts";

/** Most units: states of a row lie in a workgroup's memory. */
export const MOST_UNITS = 1024;

export interface GruOptions {
  /** (3 H, H) in f32, of the state. */
  readonly weight: Tensor;
  /** (3 H) */
  readonly bias: Tensor;
  readonly batch: number;
  /** (N) i32, from 0 in each document, which begins without a state; below 0: padding at the end of a row. */
  readonly positions: Tensor;
  /** Decoding: the state (batch, H) before the first token, which becomes that after the last. Forward only. */
  readonly state?: Tensor | undefined;
}

/** States after every token (N, H), from products with the input x (N, 3 H). Throws RangeError. */
export function gru(rec: Recorder, x: Tensor, { weight, bias, batch, positions, state }: GruOptions): Tensor {
  const { rows: n, width } = rowsOf(x);
  const units = width / 3;
  const t = n / batch;
  if (!Number.isInteger(t) || !Number.isInteger(units) || units > MOST_UNITS || weight.dtype !== "f32")
    throw new RangeError(`states of ${units} units from ${showShape(x.shape)} in ${batch} rows`);
  expectShape(weight, [3 * units, units], "a weight of states");
  expectShape(bias, [3 * units], "a bias of states");
  if (sizeOf(positions.shape) !== n) throw new RangeError(`${sizeOf(positions.shape)} positions of ${n} tokens`);
  const h = rec.result([n, units], [x, weight, bias], `states of ${x.label}`);
  const gates = h.needsGrad ? rec.scratch([n, 4 * units], "gates") : undefined;
  const params = { t, units };
  rec.step({
    kernel: "gru/scan",
    flags: [...(gates ? ["taped"] : []), ...(state ? ["cached"] : [])],
    bind: { x, weight, bias, positions, h, ...(gates ? { gates } : {}), ...(state ? { kept: state } : {}) },
    params,
    groups: [batch],
  });
  rec.onBackward(h, (dh) => {
    if (state || !gates) throw new Error("a scan that goes on from a kept state has no way back");
    const dx = rec.scratch(x.shape, "gradient of products with the input");
    const dp = rec.scratch(x.shape, "gradient of products with the state");
    const states = rec.scratch([n, units], "states that tokens found");
    rec.step({
      kernel: "gru/scan-gradient",
      bind: { dh, h, gates, weight, positions, dx, dp, states },
      params,
      groups: [batch],
    });
    rec.addGradient(x, dx);
    if (bias.needsGrad) columnSums(rec, dp, rec.gradient(bias));
    if (!weight.needsGrad) return;
    const { into, accumulate } = rec.gradient(weight);
    product(rec, { form: "tn", m: 3 * units, n: units, k: n, a: dp, b: states, c: into, accumulate });
  });
  return h;
}
