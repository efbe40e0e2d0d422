/** What LoRA makes of a linear layer. */
import { rowNorm, scaleColumns } from "../../../tensor/ops/dora.ts";
import { dropout } from "../../../tensor/ops/dropout.ts";
import { add, div, scale as scaled, scaleGradient } from "../../../tensor/ops/elementwise.ts";
import { linear } from "../../../tensor/ops/linear.ts";
import type { Tensor } from "../../../tensor/tensor.ts";
import type { LinearPlace } from "../live-adapter.ts";
import type { LoraEntry } from "./entry.ts";
import { type RowRates, rowRates } from "./row-rates.ts";

/** W x + s (B A x + c) with bias and residual, without what is taken out of W; with lengths DoRA's. */
export function linearChange(entry: LoraEntry, place: LinearPlace, x: Tensor, rates: RowRates | undefined): Tensor {
  const { rec, module, weight, bias, transposed } = place;
  const { scale } = entry;
  const a = rec.parameter(entry.a); // (r, in)
  const b = rec.parameter(entry.b); // (out, r)
  const seen = entry.dropout > 0 ? dropout(rec, x, { p: entry.dropout, key: module }) : x;
  const low = linear(rec, seen, a); // (N, r)
  if (!entry.magnitude) {
    const whole = place.whole(x);
    const { frozen } = entry;
    // What is taken out of the base is a part of the layer, which dropout does not reach.
    const base = frozen
      ? linear(rec, linear(rec, x, rec.parameter(frozen.a)), rec.parameter(frozen.b), { scale, add: whole })
      : whole;
    const y =
      rates?.apply === "grad" && rec.training
        ? add(rec, base, scaleGradient(rec, linear(rec, low, b, { scale }), rowRates(rec, a, b, rates.eta)))
        : linear(rec, low, b, { scale, add: base });
    return entry.bBias ? add(rec, y, scaled(rec, rec.parameter(entry.bBias), scale)) : y;
  }
  // DoRA: every row of W + s B A at its own length, which is a constant on the way back.
  const direction = linear(rec, low, b, { scale, add: linear(rec, seen, weight, { transposed }) }); // (N, out)
  const length = rowNorm(rec, weight, { a, b, scale, transposed }); // (out)
  const y = scaleColumns(rec, direction, div(rec, rec.parameter(entry.magnitude), length));
  return place.finish(bias ? add(rec, y, bias) : y);
}
