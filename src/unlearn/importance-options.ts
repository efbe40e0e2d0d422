/** How importances of weights are measured: options of the edits that read them and of `unlearn importance`. */
import type { Options } from "../method/options.ts";

export const MEASURE = {
  fisher: {
    type: "'batch' | 'sample'",
    default: "sample",
    help: "squares of the gradient of a batch, or of each row",
  },
  label_free: { type: "boolean", default: false, help: "measure on the logits' size, without labels (LFSSD)" },
} as const satisfies Options;
