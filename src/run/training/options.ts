/** Options of every script that trains, apart from those of a technique. */
import { dtypeWord } from "../../checkpoint/dtype.ts";
import { GGUF } from "../../checkpoint/gguf/write/options.ts";
import { READING } from "../../data/options.ts";
import type { Options } from "../../method/options.ts";
import { LOAD_IN } from "../held-options.ts";
import { EXPERTS } from "./experts/options.ts";
import { PRECISION } from "./precision/options.ts";
import { RULES } from "./rules/options.ts";

/** Which data, and how it is cut into batches. */
export const DATA = {
  data: {
    type: "string[]",
    help: "training data, name=path for each group (JSON, Parquet, CSV, hf:datasets/..., - for stdin)",
    value: "FILE",
  },
  mixture: {
    type: "number[]",
    was: ["weights"],
    help: "shares in which the groups are drawn; by size when left out",
    value: "W",
  },
  eval_data: { type: "string[]", help: "held-out data, name=path for each group", value: "FILE" },
  eval_split: {
    type: "0 < number < 1",
    help: "instead of --eval-data, the share of the rows of every group of --data that is held out",
    value: "F",
  },
  columns: READING.columns,
  tokenizer: READING.tokenizer,
  template: READING.template,
  turns: READING.turns,
  batch_size: { type: "number.integer >= 1", default: 8, help: "rows of a micro-batch", value: "N" },
  accumulate: { type: "number.integer >= 1", default: 1, help: "micro-batches of a step", value: "N" },
  max_length: READING.max_length,
  token_cache: READING.token_cache,
  overflow: READING.overflow,
  pack: { type: "boolean", default: false, help: "pack several short rows into one; attention stays within each" },
  shuffle: { type: "boolean", default: true, help: "new order every epoch; --no-shuffle keeps the file's" },
} as const satisfies Options;

/** How long, how fast, with what. Options of one optimizer or one schedule are in its own file. */
export const OPTIMIZATION = {
  steps: { type: "number.integer >= 1", help: "optimizer steps; or --epochs", value: "N" },
  epochs: { type: "number > 0", help: "passes over the data; 1 when neither is given", value: "N" },
  optimizer: {
    type: "string",
    kind: "optimizer",
    default: "adamw",
    optionsAfter: "schedule",
    help: "update rule",
  },
  lr: { type: "number > 0", default: 1e-3, help: "peak learning rate", value: "RATE" },
  schedule: { type: "string", kind: "schedule", default: "cosine", help: "learning rate over the steps" },
  layer_rates: {
    type: "0 < number <= 1",
    help: "learning rate of each block over that of the block above it; embeddings are below the first, heads and last norms above the last",
    value: "RATIO",
  },
  mu_base_width: {
    type: "number.integer >= 1",
    help: "width at which the rate was found: hidden matrices learn at this over the model's width times the rate, and outputs are scaled so",
    value: "W",
  },
  independent_decay: {
    type: "boolean",
    default: false,
    help: "weight decay times the schedule alone, whatever --lr is",
  },
  decay_all: { type: "boolean", default: false, help: "decay norms and biases too" },
  clip: { type: "number >= 0", default: 0, help: "largest gradient norm; 0: no bound", value: "X" },
  smoothing: { type: "0 <= number < 1", default: 0, help: "label smoothing", value: "X" },
  z_loss: { type: "number >= 0", default: 0, help: "weight of the squared log-partition", value: "X" },
} as const satisfies Options;

/** What settings of LoRA have no effect without. */
const OF_LORA = { needs: "lora", with: { adapter: ["lora", "rslora", "dora"] } } as const;
/** Of those that fix their scale, too. */
const OF_ANY_LORA = { needs: "lora", with: { adapter: ["lora", "rslora", "dora", "allora"] } } as const;

/** What is trained, and how it is held. */
export const TRAINED = {
  dtype: {
    type: "'f32' | 'bf16' | 'keep'",
    spelling: dtypeWord,
    help: "type of weights in memory; f32 if trained, as stored if frozen",
  },
  load_in: { ...LOAD_IN, help: `under an adapter, ${LOAD_IN.help}` },
  state_dtype: {
    type: "'f32' | 'bf16'",
    default: "f32",
    spelling: dtypeWord,
    help: "of the optimizer's states",
  },
  out_dtype: {
    type: "'f32' | 'bf16' | 'f16'",
    spelling: dtypeWord,
    decides: "storage",
    help: "of the result; as the model is stored when left out",
  },
  ...GGUF,
  freeze: { type: "string[]", help: "weights that stay as they are, by pattern: 'model.embed*'", value: "GLOB" },
  train_only: { type: "string[]", help: "weights that are trained, by pattern; all others stay", value: "GLOB" },
  recompute: {
    type: "boolean",
    default: false,
    decides: "nothing",
    help: "compute activations again on the way back: less memory, a third slower",
  },
  adapter: {
    type: "string",
    kind: "adapter",
    help: "train an adapter of this type, which is the result",
  },
  adapter_targets: {
    type: "string[]",
    needs: "adapter",
    help: "modules that --adapter changes, as --lora-targets names them; the type's own choice when left out",
    value: "NAME",
  },
  lora: { type: "boolean", default: false, help: "train a LoRA adapter: short for --adapter lora" },
  lora_rank: { type: "number.integer >= 1", default: 16, ...OF_ANY_LORA, help: "rank of the adapter", value: "R" },
  lora_alpha: {
    type: "number > 0",
    default: 32,
    ...OF_LORA,
    help: "strength; the scale is alpha / rank",
    value: "A",
  },
  lora_targets: {
    type: "string[]",
    ...OF_ANY_LORA,
    help: "modules: ends of names, globs, regular expressions, or all-linear (experts and routers, too); every linear layer but the head, routers and routed experts when left out",
    value: "NAME",
  },
  lora_dropout: {
    type: "0 <= number < 1",
    needs: ["lora", "lora_continue"],
    with: OF_LORA.with,
    help: "dropout before the adapter; 0 when left out, or that of the adapter that --lora-continue trains",
    value: "P",
  },
  rslora: { type: "boolean", default: false, ...OF_LORA, help: "scale alpha / sqrt(rank)" },
  dora: { type: "boolean", default: false, ...OF_LORA, help: "DoRA: learn the length of every row" },
  adapter_init: {
    type: "string",
    kind: "adapter-init",
    ...OF_ANY_LORA,
    help: "what a new LoRA adapter begins with; A drawn and B zero when left out",
  },
  lora_continue: { type: "boolean", default: false, help: "continue to train the adapter of base+adapter" },
} as const satisfies Options;

/** How the run goes. */
export const RUNNING = {
  eval_every: {
    type: "number.integer >= 0",
    default: 0,
    decides: "nothing",
    needs: ["eval_data", "eval_split"],
    help: "steps between evaluations on held-out data; 0: at the end only",
    value: "N",
  },
  patience: {
    type: "number.integer >= 1",
    needs: ["eval_data", "eval_split"],
    help: "stop after so many evaluations without a lower held-out loss; needs --eval-every",
    value: "N",
  },
  sample_every: {
    type: "number.integer >= 0",
    default: 0,
    decides: "nothing",
    needs: "sample_prompts",
    help: "steps between answers to --sample-prompts; 0: at the end only",
    value: "N",
  },
  sample_prompts: {
    type: "string[]",
    decides: "nothing",
    help: "what the model answers on the way, on stderr and in --log: a text, or a file of rows of prompt or messages",
    value: "TEXT",
  },
  keep: {
    type: "number.integer >= 1",
    decides: "nothing",
    help: "keep the models of the last N steps of --save-every, as OUT.step-STEP; and the best one of them",
    value: "N",
  },
  save_every: {
    type: "number.integer >= 0",
    default: 1000,
    decides: "nothing",
    help: "steps between saved states; 0: none",
    value: "N",
  },
  state: {
    type: "string",
    decides: "nothing",
    help: "folder of the saved state; OUT-state when left out, without the ending of a file",
    value: "DIR",
  },
  resume: {
    type: "boolean",
    default: false,
    decides: "nothing",
    help: "continue from the saved state; from the start if there is none",
  },
  best: {
    type: "string",
    decides: "nothing",
    writes: "checkpoint",
    needs: ["eval_data", "eval_split"],
    help: "folder for the weights with the lowest held-out loss",
    value: "DIR",
  },
  log_every: {
    type: "number.integer >= 1",
    default: 1,
    decides: "nothing",
    help: "steps between lines of --log",
    value: "N",
  },
  log_noise_scale: {
    type: "boolean",
    default: false,
    decides: "nothing",
    help: "log the batch size at which gradients are as much noise as signal, from the micro-batches of --accumulate",
  },
  shards: { type: "number.integer >= 1", decides: "nothing", help: "shards of a folder", value: "N" },
} as const satisfies Options;

/** Options of every script that trains. */
export const RUN = {
  init: { type: "string", help: "config.json of a new model, instead of a checkpoint", value: "FILE" },
  ...DATA,
  ...OPTIMIZATION,
  ...TRAINED,
  ...EXPERTS,
  ...PRECISION,
  ...RULES,
  ...RUNNING,
  profile: { type: "boolean", default: false, decides: "nothing", help: "time every kernel; slower" },
} as const satisfies Options;
