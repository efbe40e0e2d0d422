/** Options of `align`, besides those of a method. */
import type { Options } from "../method/options.ts";
import { DATA, OPTIMIZATION, RUN } from "../run/training/options.ts";

const { init: _init, pack: _pack, smoothing: _smoothing, z_loss: _zLoss, ...run } = RUN;

export const ALIGN = {
  ...run,
  data: { ...DATA.data, help: "rows of prompt, chosen and rejected, or of prompts, name=path for each group" },
  eval_data: { ...DATA.eval_data, help: "held-out rows of text or completions, whose loss is told on the way" },
  lr: { ...OPTIMIZATION.lr, default: 1e-5 },
  pair_loss: {
    type: "string[]",
    kind: "pair-loss",
    help: "form of the loss of --method dpo; several, separated by commas, add up",
  },
  pair_loss_weights: {
    type: "number[]",
    needs: "pair_loss",
    help: "weight of each form of --pair-loss; 1 when left out",
    value: "W",
  },
  reference_cache: {
    type: "string",
    decides: "nothing",
    help: "file for the reference's likelihoods, read where there is one, else written",
    value: "FILE",
  },
} as const satisfies Options;
