/** Options of `evaluate`. */
import { READING } from "../data/options.ts";
import type { Options, Values } from "../method/options.ts";
import { EXPERT_STORE } from "../run/expert-store.ts";
import { HELD } from "../run/held-options.ts";
import { TEST_TIME } from "../run/test-time/options.ts";

export const EVALUATE = {
  data: { type: "string[]", help: "rows to evaluate on, name=path for each group", value: "FILE" },
  metric: { type: "string[]", kind: "metric", help: "what to measure; loss and accuracy when left out" },
  task: {
    type: "string",
    help: "a task file of lm-evaluation-harness, with its own metrics; --data names its rows where it does not",
    value: "FILE",
  },
  gold: {
    type: "string",
    help: "model that never saw what is to be forgotten, scored on the same rows to compare with",
    value: "MODEL",
  },
  forget_group: {
    type: "string",
    was: ["forget"],
    default: "forget",
    help: "the group to be forgotten",
    value: "NAME",
  },
  holdout_group: {
    type: "string",
    was: ["holdout"],
    default: "holdout",
    help: "the group that was never learned",
    value: "NAME",
  },
  with: {
    type: "string[]",
    help: "model whose outputs are mixed with those of every model that is measured, or of --method another one that it combines; --gold stays as it is",
    value: "MODEL",
  },
  mix: {
    type: "'probabilities' | 'logits'",
    default: "probabilities",
    needs: "with",
    help: "what is mixed",
  },
  mix_weight: {
    type: "0 <= number <= 1",
    default: 0.5,
    needs: "with",
    help: "weight of the model of --with; the measured one has the rest",
    value: "A",
  },
  mix_sharpness: {
    type: "number > 0",
    default: 1,
    needs: "with",
    help: "factor of the measured model's logits before they are mixed",
    value: "S",
  },
  mix_with_sharpness: {
    type: "number > 0",
    default: 1,
    needs: "with",
    help: "factor of the logits of the model of --with before they are mixed",
    value: "S",
  },
  mix_gate: {
    type: "string",
    needs: "with",
    help: "gate of merge gate, which weighs the model of --with for every input, in place of --mix-weight and both factors",
    value: "FILE",
  },
  attack: {
    type: "string",
    kind: "attack",
    optionsAfter: "dtype",
    help: "try to bring back what was unlearned, or to mislead a classifier",
  },
  probe: { type: "string", kind: "probe", optionsAfter: "dtype", help: "ask a question of the models' insides" },
  stop: {
    type: "string[]",
    help: "texts before which a generated answer ends, each its own --stop",
    value: "TEXT",
  },
  quantize: {
    type: "'4' | '8'",
    help: "round the matrices of the models' layers to so many bits as they are loaded, symmetric, one scale per row; --gold stays as it is",
    value: "BITS",
  },
  dump: {
    type: "string",
    writes: "tensors",
    help: "write the logits of the first model to a file that ends in .safetensors, or to stdout (-) if -o takes the result",
    value: "FILE",
  },
  dump_top: {
    type: "number.integer >= 0",
    default: 0,
    needs: "dump",
    help: "only the k largest, and the mass of the others",
    value: "K",
  },
  pass: {
    type: "boolean",
    default: false,
    help: "pass the model on to stdout; the result goes to stderr, or to the file of -o",
  },
  long: {
    type: "boolean",
    default: false,
    help: "every number on a line of its own, with its interval and its difference to the first model",
  },
  seeds: {
    type: "'lineage' | 'names' | 'off'",
    default: "lineage",
    help: "models that differ by their seed alone are one line of the table, mean ± deviation: told by the history in their files, or also by names such as a-seed1; off: each its own",
    value: "HOW",
  },
  bootstrap: { type: "number.integer >= 0", default: 200, help: "resamples for 95 % intervals; 0: none", value: "N" },
  batch_size: { type: "number.integer >= 1", default: 16, help: "rows that are run at once", value: "N" },
  columns: READING.columns,
  max_length: READING.max_length,
  max_tokens: { type: "number.integer >= 1", default: 256, help: "most tokens of a generated answer", value: "N" },
  token_cache: READING.token_cache,
  overflow: READING.overflow,
  tokenizer: READING.tokenizer,
  zeroshot_head: {
    type: "string",
    help: "of a CLIP: features of a text per class, in place of zeroshot_head.safetensors beside its weights",
    value: "FILE",
  },
  template: READING.template,
  turns: READING.turns,
  ...HELD,
  ...EXPERT_STORE,
} as const satisfies Options;

/** Options of `evaluate imatrix`. */
export const IMATRIX = {
  data: {
    type: "string[]",
    required: true,
    help: "rows that the model reads, name=path for each group",
    value: "FILE",
  },
  batch_size: EVALUATE.batch_size,
  ...READING,
  dtype: HELD.dtype,
} as const satisfies Options;

/** Options of `evaluate gram`. */
export const GRAM = IMATRIX;

/** Options of `evaluate exits`. */
export const EXITS = {
  exits: { type: "string", required: true, help: "file that train exits wrote", value: "FILE" },
  data: { type: "string[]", required: true, help: "rows that the classifier reads, with labels", value: "FILE" },
  columns: READING.columns,
  max_length: READING.max_length,
  dtype: HELD.dtype,
} as const satisfies Options;

/** Options of `evaluate routers`. */
export const ROUTERS = {
  routers: { type: "string", required: true, help: "file that train routers wrote", value: "FILE" },
  data: {
    type: "string[]",
    required: true,
    help: "rows of prompt and completion, name=path for groups",
    value: "FILE",
  },
  dial: {
    type: "-1 <= number <= 1[]",
    default: [-0.5],
    help: "from skipping (-1) over the routers' own choice (-0.5) and running all (0.5) to running all twice (1)",
    value: "P",
  },
  batch_size: EVALUATE.batch_size,
  columns: READING.columns,
  tokenizer: READING.tokenizer,
  template: READING.template,
  max_length: READING.max_length,
  dtype: HELD.dtype,
} as const satisfies Options;

/** Options of `evaluate permutation`. */
export const PERMUTATION = {
  k: { type: "2 <= number.integer <= 20", default: 8, value: "K", help: "bits" },
  models: { type: "number.integer >= 1", value: "M", help: "networks; 4 K when left out" },
  width: { type: "number.integer >= 1", default: 4096, value: "N", help: "hidden units of each" },
  inputs: {
    type: "number.integer >= 1",
    default: 3000,
    value: "COUNT",
    help: "most inputs that are told; all if there are fewer",
  },
} as const satisfies Options;

/** Options of `evaluate lr-sensitivity`. */
export const LR_SENSITIVITY = {
  to: {
    type: "number > 0",
    value: "N",
    help: "parameters of a larger model, whose scores of attention are foreseen from logs with --probe logits",
  },
} as const satisfies Options;

/** Options of `evaluate gen-dynamics`. */
export const GEN_DYNAMICS = {
  ratio: { type: "number > 0", default: 1, value: "A", help: "samples for each input" },
  teacher: { type: "number >= 0", default: 1, value: "VAR", help: "variance of the teacher's weights" },
  noise: { type: "number >= 0", default: 0.2, value: "VAR", help: "variance of the noise on its answers" },
  start: { type: "number >= 0", default: 0, value: "VAR", help: "variance of the student's weights at the beginning" },
  inputs: { type: "1 <= number.integer <= 2000", default: 200, value: "N", help: "inputs of what is measured" },
  draws: {
    type: "number.integer >= 0",
    default: 20,
    value: "COUNT",
    help: "draws of teacher and samples that are measured; 0: theory alone",
  },
  times: {
    type: "number[]",
    default: [0.5, 1, 2, 5, 10, 20],
    value: "T",
    help: "times that are told, rising; 1 is the time in which a direction of eigenvalue 1 comes to 1 / e",
  },
} as const satisfies Options;

/** Options of `evaluate lifelong`. */
export const LIFELONG = {
  expert: {
    type: "string[]",
    value: "FILE",
    help: "log of a learner of one task alone, for relative performance and sample efficiency; may be given several times",
  },
  reference: {
    type: "'evaluation' | 'training'",
    default: "evaluation",
    help: "what later tests of a task are held against: the first test after its last training, or the end of that training",
  },
  normalize: {
    type: "'task' | 'run'",
    default: "task",
    help: "performances go from 0 to 100 within those of each task, or of all tasks together",
  },
  range: { type: "number[]", value: "LOW,HIGH", help: "performances that are 0 and 100, in place of those found" },
  terminal: { type: "0 < number <= 1", default: 0.1, value: "SHARE", help: "share of a block that is its end" },
  smooth: {
    type: "0 <= number <= 1",
    default: 0.2,
    value: "SHARE",
    help: "width of the window that smooths learning curves, as a share of their length",
  },
} as const satisfies Options;

/** Of `evaluate stream`. */
export const TEST_STREAM = {
  data: {
    type: "string[]",
    required: true,
    help: "clean rows with labels, which the streams are made of; the model should not have learnt them",
    value: "FILE",
  },
  test_time: {
    type: "string[]",
    kind: "test-time",
    required: true,
    help: "methods to compare; source is the model as it is",
  },
  stream: {
    type: "string",
    default: "continual,gradual,recurring,mixed",
    help: "streams to make: continual, gradual, recurring, mixed",
    value: "NAME,...",
  },
  corruption: {
    type: "string[]",
    kind: "corruption",
    help: "domains in their order; all that go with the rows when left out",
  },
  severity: {
    type: "1 <= number.integer <= 5",
    default: 5,
    help: "of all streams but gradual, 1 to 5",
    value: "N",
  },
  repetitions: {
    type: "number.integer >= 1",
    default: 10,
    help: "how many times the domains come in the recurring stream",
    value: "N",
  },
  domain_rows: { type: "number.integer >= 1", help: "rows of a domain; all of --data when left out", value: "N" },
  range: { type: "number[]", default: [0, 1], value: "LOW,HIGH", help: "of the values of rows of numbers" },
  mask: { type: "string", default: "[MASK]", help: "word that stands for hidden words of texts", value: "WORD" },
  ...TEST_TIME,
} as const satisfies Options;

/** Options of `evaluate two-phase`. */
export const TWO_PHASE = {
  tune: {
    type: "string[]",
    required: true,
    value: "LOG",
    help: "a log, or a folder of logs, of the stream that settings are chosen on",
  },
  report: {
    type: "string[]",
    value: "LOG",
    help: "the same of another stream, from which the chosen settings are reported",
  },
  metric: {
    type: "string",
    default: "average",
    value: "NAME",
    help: "what is compared: average, forgetting, backward_transfer, forward_transfer, learning, ...",
  },
  score: { type: "'accuracy' | 'loss'", help: "what tasks are scored by; accuracy where all runs have it" },
} as const satisfies Options;

export type EvaluateOptions = Values<typeof EVALUATE>;
