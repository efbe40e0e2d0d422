/** Options of scripts that run models without training them: how weights are held. */
import { dtypeWord } from "../checkpoint/dtype.ts";
import type { Options } from "../method/options.ts";

export const HELD = {
  dtype: {
    type: "'f32' | 'bf16' | 'keep'",
    default: "keep",
    spelling: dtypeWord,
    help: "of weights in memory",
  },
  offload: {
    type: "boolean",
    default: false,
    decides: "nothing",
    help: "weights of layers stay on the disk and are read for every batch or token: for a model that does not fit",
  },
} as const satisfies Options;
