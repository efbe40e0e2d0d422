/** Activation functions of feed-forward networks. */
import { spanGroups } from "../../gpu/grid.ts";
import type { Recorder } from "../recorder.ts";
import { expectShape, sizeOf, type Tensor } from "../tensor.ts";
import { unary } from "./elementwise.ts";

export const relu = (rec: Recorder, x: Tensor): Tensor => unary(rec, "relu", x);
export const silu = (rec: Recorder, x: Tensor): Tensor => unary(rec, "silu", x);
/** x Phi(x), by erf, or by the tanh form of GPT-2. */
export const gelu = (rec: Recorder, x: Tensor, { tanh = false }: { readonly tanh?: boolean } = {}): Tensor =>
  unary(rec, tanh ? "gelu_tanh" : "gelu", x);

/** silu(gate) * up of one shape. Shazeer 2020, https://arxiv.org/abs/2002.05202 */
export function swiglu(rec: Recorder, gate: Tensor, up: Tensor): Tensor {
  expectShape(up, gate.shape, "swiglu");
  const y = rec.result(gate.shape, [gate, up], "swiglu");
  const count = sizeOf(gate.shape);
  const groups = spanGroups(Math.ceil(count / 4));
  rec.step({ kernel: "activation/swiglu", bind: { gate, up, y }, params: { count }, groups });
  rec.onBackward(y, (dy) => {
    const scratch = (x: Tensor) => ({ into: rec.scratch(x.shape, "gradient of up"), accumulate: 0 });
    const place = (x: Tensor) => (x.needsGrad ? rec.gradient(x) : scratch(x));
    const one = gate.root === up.root; // one place cannot take two gradients at once
    const of_gate = place(gate);
    const of_up = one ? scratch(up) : place(up);
    rec.step({
      kernel: "activation/swiglu-gradient",
      bind: { dy, gate, up, d_gate: of_gate.into, d_up: of_up.into },
      params: { count, accumulate_gate: of_gate.accumulate, accumulate_up: of_up.accumulate },
      groups,
    });
    if (one) rec.addGradient(up, of_up.into);
  });
  return y;
}
