/** Options of `distill` besides those of a method. */
import type { Options } from "../method/options.ts";
import { DATA, RUN } from "../run/training/options.ts";

export const DISTILL = {
  ...RUN,
  teacher: {
    type: "string[]",
    help: "model to learn from; self: the student as it was; several with --method mtard. Stdin when only --student is given",
    value: "MODEL",
  },
  student: { type: "string", help: "model that learns; stdin when left out", value: "MODEL" },
  cache: { type: "string", help: "teacher's top k from `distill cache`, instead of --teacher", value: "FILE" },
  distill_weight: { type: "number >= 0", help: "weight of the method's loss; 1 for most methods", value: "W" },
  label_weight: { type: "number >= 0", help: "weight of the labels' cross-entropy; 0 for most methods", value: "W" },
  on_policy: {
    type: "0 <= number <= 1",
    default: 0,
    help: "share of batches whose completions the student samples (GKD's lambda)",
    value: "P",
  },
  teacher_samples: {
    type: "0 <= number <= 1",
    help: "of the others, share whose completions the teacher samples; 1 for seq-kd, else 0",
    value: "P",
  },
  sample_temperature: { type: "number >= 0", default: 0.9, help: "of samples; 0: greedy", value: "T" },
  sample_tokens: { type: "number.integer >= 1", default: 128, help: "most tokens of a sample", value: "N" },
  prompt_tokens: {
    type: "number.integer >= 1",
    default: 8,
    help: "of a plain text, what samples continue",
    value: "N",
  },
  online: { type: "boolean", default: false, help: "train the teacher too, where the method says how" },
  teacher_out: { type: "string", needs: "online", help: "where the trained teacher goes", value: "OUT" },
} as const satisfies Options;

/** Options of `distill cache`. */
export const CACHE = {
  teacher: { type: "string[]", help: "model whose most likely tokens are kept", value: "MODEL" },
  data: DATA.data,
  top: { type: "number.integer >= 1", default: 64, help: "log-probabilities that are kept of every token", value: "K" },
  tokenizer: DATA.tokenizer,
  template: DATA.template,
  batch_size: DATA.batch_size,
  max_length: DATA.max_length,
  overflow: DATA.overflow,
} as const satisfies Options;
