/**
 * AdamW whose moments are codes of 8 bits, with a scale for each block of 256 values: a quarter of the states. Dettmers
 * et al., ICLR 2022, https://arxiv.org/abs/2110.02861. The code is dynamic: fine near a block's largest value, coarse
 * over decades below (wgsl/lib/dynamic-code.wgsl has its bits). Of the second moment the root is held, where the paper
 * holds the moment: seven decades of it are fourteen of the other, so that no small one is lost.
 */
import { defineOptimizer, EVERY_OPTIMIZER_LAW } from "../../../run/training/optimizer.ts";
import { sizeOf } from "../../../tensor/tensor.ts";
import { ADAMW, ADAMW_OPTIONS, besideBy } from "../../adamw.ts";

export const method = defineOptimizer({
  name: "adamw-8bit",
  title: "AdamW, 8 bits",
  about: "AdamW with moments of 8 bits in blocks of 256 values: a quarter of the states",
  cite: "arXiv:2110.02861",
  laws: EVERY_OPTIMIZER_LAW,
  kernel: "train/adamw-8bit",
  packed: {
    mean: { per: 4, dtype: "u32" },
    root: { per: 4, dtype: "u32" },
    mean_scale: { per: 256, dtype: "f32" },
    root_scale: { per: 256, dtype: "f32" },
  },
  options: {
    ...ADAMW_OPTIONS,
    least_values: {
      type: "number.integer >= 0",
      default: 4096,
      help: "tensors of fewer values keep moments in f32",
      value: "N",
    },
  },
  instead: ({ shape }, { least_values, ...values }) =>
    sizeOf(shape) < least_values ? { bound: besideBy(values), rate: 1 } : undefined,
  fixed: (values) => ADAMW.fixed(values),
  numbers: (values, step) => ADAMW.numbers(values, step),
});
