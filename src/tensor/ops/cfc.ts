/**
 * Closed-form continuous-time cells over the tokens of rows: the solution of a liquid time-constant cell, in which a
 * gate in time goes from one target of the state to another. Hasani et al., Nature Machine Intelligence 2022,
 * https://arxiv.org/abs/2106.13898
 */
import { spanGroups } from "../../gpu/grid.ts";
import type { Recorder } from "../recorder.ts";
import { expectShape, rowsOf, showShape, sizeOf, type Tensor } from "../tensor.ts";
import { product } from "./linear.ts";
import { columnSums } from "./reduce.ts";

/** Most units, and most of the layer before them: both lie in a workgroup's memory. */
export const [MOST_UNITS, MOST_INNER] = [512, 1024] as const;

export interface CfcOptions {
  /** (M, H) in f32, of the state. */
  readonly weight: Tensor;
  /** (3 H, M) in f32, of f, g and h over the layer before them. */
  readonly heads: Tensor;
  /** (3 H) */
  readonly bias: Tensor;
  readonly batch: number;
  /** (N) i32, from 0 in each document, which begins without a state; below 0: padding at the end of a row. */
  readonly positions: Tensor;
  /** Time between two tokens. */
  readonly step: number;
  /** Decoding: the state (batch, H) before the first token, which becomes that after the last. Forward only. */
  readonly state?: Tensor | undefined;
}

/** States after every token (N, H), from products with the input x (N, M). Throws RangeError. */
export function cfc(
  rec: Recorder,
  x: Tensor,
  { weight, heads, bias, batch, positions, step, state }: CfcOptions,
): Tensor {
  const { rows: n, width: inner } = rowsOf(x);
  const units = sizeOf(bias.shape) / 3;
  const t = n / batch;
  if (!Number.isInteger(t) || !Number.isInteger(units) || units > MOST_UNITS || inner > MOST_INNER)
    throw new RangeError(`states of ${units} units from ${showShape(x.shape)} in ${batch} rows`);
  expectShape(weight, [inner, units], "a weight of states");
  expectShape(heads, [3 * units, inner], "heads of states");
  if (weight.dtype !== "f32" || heads.dtype !== "f32") throw new RangeError("weights of states are in f32");
  if (sizeOf(positions.shape) !== n) throw new RangeError(`${sizeOf(positions.shape)} positions of ${n} tokens`);
  const s = rec.result([n, units], [x, weight, heads, bias], `states of ${x.label}`);
  const tape = s.needsGrad
    ? { hidden: rec.scratch([n, inner], "layer before the state"), gates: rec.scratch([n, 3 * units], "gates") }
    : undefined;
  const params = { t, units, inner, step };
  rec.step({
    kernel: "cfc/scan",
    flags: [...(tape ? ["taped"] : []), ...(state ? ["cached"] : [])],
    bind: { x, weight, heads, bias, positions, s, ...tape, ...(state ? { kept: state } : {}) },
    params,
    groups: [batch],
  });
  rec.onBackward(s, (ds) => {
    if (state || !tape) throw new Error("a scan that goes on from a kept state has no way back");
    const dx = rec.scratch(x.shape, "gradient of products with the input");
    const dp = rec.scratch([n, 3 * units], "gradient of heads");
    rec.step({
      kernel: "cfc/scan-gradient",
      bind: { ds, ...tape, weight, heads, positions, dx, dp },
      params,
      groups: [batch],
    });
    rec.addGradient(x, dx);
    if (bias.needsGrad) columnSums(rec, dp, rec.gradient(bias));
    if (weight.needsGrad) {
      const states = rec.scratch([n, units], "states that tokens found");
      rec.step({
        kernel: "cfc/found",
        bind: { s, positions, states },
        params: { count: n * units, t, units },
        groups: spanGroups(n * units),
      });
      const { into, accumulate } = rec.gradient(weight);
      product(rec, { form: "tn", m: inner, n: units, k: n, a: dx, b: states, c: into, accumulate });
    }
    if (heads.needsGrad) {
      const { into, accumulate } = rec.gradient(heads);
      product(rec, { form: "tn", m: 3 * units, n: inner, k: n, a: dp, b: tape.hidden, c: into, accumulate });
    }
  });
  return s;
}
