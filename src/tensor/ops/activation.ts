/** Activation functions of feed-forward networks. */
import { spanGroups } from "../../gpu/grid.ts";
import type { Recorder } from "../recorder.ts";
import { expectShape, rowsOf, sizeOf, type Tensor } from "../tensor.ts";
import { unary } from "./elementwise.ts";

export const relu = (rec: Recorder, x: Tensor): Tensor => unary(rec, "relu", x);
export const silu = (rec: Recorder, x: Tensor): Tensor => unary(rec, "silu", x);
/** x Phi(x), by erf, or by the tanh form of GPT-2. */
export const gelu = (rec: Recorder, x: Tensor, { tanh = false }: { readonly tanh?: boolean } = {}): Tensor =>
  unary(rec, tanh ? "gelu_tanh" : "gelu", x);

/** x sigmoid(1.702 x), which CLIP was trained with. https://arxiv.org/abs/1606.08415 */
export const quickGelu = (rec: Recorder, x: Tensor): Tensor => unary(rec, "quick_gelu", x);

/** What a gate goes through: SiLU, or GELU in its tanh form. */
export type GateActivation = "silu" | "gelu-tanh";

const flagsOf = (activation: GateActivation, ...more: string[]): string[] => [
  ...(activation === "gelu-tanh" ? ["gelu"] : []),
  ...more,
];

/** act(gate) * up of one shape. Shazeer 2020, https://arxiv.org/abs/2002.05202 */
export function gated(rec: Recorder, gate: Tensor, up: Tensor, activation: GateActivation = "silu"): Tensor {
  expectShape(up, gate.shape, "gated unit");
  const y = rec.result(gate.shape, [gate, up], "gated unit");
  const count = sizeOf(gate.shape);
  const groups = spanGroups(Math.ceil(count / 4));
  const flags = flagsOf(activation);
  rec.step({ kernel: "activation/gated", flags, bind: { gate, up, y }, params: { count, w: 0 }, groups });
  rec.onBackward(y, (dy) => {
    const scratch = (x: Tensor) => ({ into: rec.scratch(x.shape, "gradient of up"), accumulate: 0 });
    const place = (x: Tensor) => (x.needsGrad ? rec.gradient(x) : scratch(x));
    const one = gate.root === up.root; // one place cannot take two gradients at once
    const of_gate = place(gate);
    const of_up = one ? scratch(up) : place(up);
    rec.step({
      kernel: "activation/gated-gradient",
      flags,
      bind: { dy, gate, up, d_gate: of_gate.into, d_up: of_up.into },
      params: { count, w: 0, accumulate_gate: of_gate.accumulate, accumulate_up: of_up.accumulate },
      groups,
    });
    if (one) rec.addGradient(up, of_up.into);
  });
  return y;
}

/** The same of gates and ups that one product made: (..., 2 W), gates first -> (..., W). */
export function gatedHalves(rec: Recorder, x: Tensor, activation: GateActivation = "silu"): Tensor {
  const w = rowsOf(x).width / 2;
  if (!Number.isInteger(w)) throw new RangeError(`${x.label}: ${2 * w} columns are not two halves`);
  const y = rec.result([...x.shape.slice(0, -1), w], [x], "gated unit");
  const count = sizeOf(y.shape);
  const groups = spanGroups(Math.ceil(count / 4));
  const flags = flagsOf(activation, "joined");
  rec.step({ kernel: "activation/gated", flags, bind: { gate: x, y }, params: { count, w }, groups });
  rec.onBackward(y, (dy) => {
    const { into, accumulate } = rec.gradient(x);
    rec.step({
      kernel: "activation/gated-gradient",
      flags,
      bind: { dy, gate: x, d_gate: into },
      params: { count, w, accumulate_gate: accumulate, accumulate_up: accumulate },
      groups,
    });
  });
  return y;
}

/**
 * (..., 2 W), gates in even and ups in odd columns -> (up + 1) gate sigmoid(1.702 gate), (..., W), both within `limit`.
 */
export function clampedGate(rec: Recorder, x: Tensor, limit: number): Tensor {
  const w = rowsOf(x).width / 2;
  if (!Number.isInteger(w)) throw new RangeError(`${x.label}: ${2 * w} columns are no pairs`);
  const y = rec.result([...x.shape.slice(0, -1), w], [x], "clamped gated unit");
  const count = sizeOf(y.shape);
  const groups = spanGroups(count);
  rec.step({ kernel: "activation/clamped-gate", bind: { x, y }, params: { count, limit }, groups });
  rec.onBackward(y, (dy) => {
    const { into, accumulate } = rec.gradient(x);
    const params = { count, limit, accumulate };
    rec.step({ kernel: "activation/clamped-gate-gradient", bind: { dy, x, dx: into }, params, groups });
  });
  return y;
}
