/** Options of the numbers that a training computes with. */
import type { Options } from "../../../method/options.ts";

export const PRECISION = {
  precision: {
    type: "string",
    lists: "number-format",
    help: "numbers of linear layers, simulated in f32: one format for weights, activations and gradients, or weights=FORMAT,activations=FORMAT,gradients=FORMAT; fp8 is e4m3, of gradients e5m2; weights=int4-qat learns the steps of integers, of 2 to 8 bits",
    value: "FORMAT",
  },
  loss_scale: {
    type: "number > 0",
    default: 65536,
    needs: "precision",
    help: "of gradients in f16: what they are multiplied by at first, a power of two; a step that overflows is skipped and halves it",
    value: "N",
  },
  loss_scale_every: {
    type: "number.integer >= 1",
    default: 2000,
    needs: "precision",
    help: "steps without an overflow after which it is doubled",
    value: "N",
  },
  weight_rounding: {
    type: "'stochastic' | 'nearest'",
    default: "stochastic",
    with: { dtype: "bf16" },
    help: "how weights that are held in bf16 take updates: right on average, or to nearest, by which small ones are lost",
  },
} as const satisfies Options;
