/** The capability of a loss that may go against the labels': on demand, what of its gradient does so is taken away. */
import type { Options } from "../method/options.ts";
import { GradientAlignment } from "../run/training/gradient-alignment.ts";
import type { DistillCapability } from "./capability.ts";

const OPTIONS = {
  grad_align: { type: "boolean", default: false, help: "take away what goes against the labels' gradient" },
} as const satisfies Options;

export const alignedGradients: DistillCapability<typeof OPTIONS> = {
  name: "aligned-gradients",
  options: OPTIONS,
  begin({ grad_align }, { weights }) {
    // One loss alone goes against none.
    if (!grad_align || weights.distill === 0 || weights.labels === 0) return undefined;
    return { apart: true, updates: (gpu, parameters) => [new GradientAlignment(gpu, parameters)] };
  },
};
