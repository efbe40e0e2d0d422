/** Options of `train zo-byte` and `train replay`. */
import { READING } from "../../data/options.ts";
import type { Options } from "../../method/options.ts";
import { CLUSTER } from "../../run/cluster/options.ts";
import { RUN } from "../../run/training/options.ts";

const MODEL = {
  init: RUN.init,
  lora: RUN.lora,
  lora_rank: { type: RUN.lora_rank.type, default: 16, needs: "lora", help: RUN.lora_rank.help, value: "R" },
  lora_alpha: { type: RUN.lora_alpha.type, default: 32, needs: "lora", help: RUN.lora_alpha.help, value: "A" },
  lora_targets: { type: "string[]", needs: "lora", help: RUN.lora_targets.help, value: "NAME" },
  freeze: RUN.freeze,
  train_only: RUN.train_only,
} as const satisfies Options;

export const ZO_BYTE = {
  ...MODEL,
  data: { type: "string[]", required: true, help: "rows to learn, name=path for each group", value: "FILE" },
  eval_data: RUN.eval_data,
  eval_every: { ...RUN.eval_every, needs: "eval_data" },
  ...READING,
  steps: { type: "number.integer >= 1", required: true, help: "updates of the weights", value: "N" },
  samples: {
    type: "number.integer >= 1",
    default: 30,
    help: "directions of a step: a byte and two forward passes each, on a micro-batch of its own",
    value: "N",
  },
  batch_size: RUN.batch_size,
  lr: { type: "number > 0", default: 1e-4, help: "learning rate; the larger the model, the smaller", value: "RATE" },
  eps: { type: "number > 0", default: 1e-3, help: "how far the weights are moved to look", value: "X" },
  codes: {
    type: "string",
    decides: "nothing",
    writes: "tensors",
    help: "file for the bytes of all steps, which train replay makes the result of again",
    value: "FILE",
  },
  ...CLUSTER,
  task_samples: {
    type: "number.integer >= 1",
    default: 1,
    decides: "nothing",
    needs: "cluster",
    help: "samples of a task, whose bytes are one message",
    value: "N",
  },
} as const satisfies Options;

export const REPLAY = {
  init: MODEL.init,
  codes: { type: "string", required: true, help: "bytes that train zo-byte --codes kept", value: "FILE" },
} as const satisfies Options;
