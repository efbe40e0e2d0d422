/** Options of `distill` and its sub-command, besides those of a method. */
import { READING } from "../data/options.ts";
import type { Options } from "../method/options.ts";
import { ADVERSARIAL } from "../run/adversarial/options.ts";
import { LOAD_IN } from "../run/held-options.ts";
import { GRADIENT_RULE } from "../run/training/gradient-rule.ts";
import { LABEL_LOSS } from "../run/training/label-loss.ts";
import { MIXUP } from "../run/training/mixup.ts";
import { DATA, RUN } from "../run/training/options.ts";
import { SAMPLES } from "./sampled.ts";

export const DISTILL = {
  ...RUN,
  teacher: {
    type: "string[]",
    help: "model to learn from, or several; self: the student as it was. Stdin if only --student is given",
    value: "MODEL",
  },
  teacher_load_in: { ...LOAD_IN, help: `of teachers, ${LOAD_IN.help}` },
  teacher_prefix: {
    type: "string",
    help: "text that teachers read before every row and the student does not: context distillation",
    value: "TEXT",
  },
  teacher_prompts: {
    type: "string",
    help: "field of rows with a prompt that teachers read in the place of the row's own: what one prompt is overridden by",
    value: "KEY",
  },
  student: { type: "string", help: "model that learns; stdin when left out", value: "MODEL" },
  target: {
    type: "'student' | 'data'",
    default: "student",
    help: "what is made: a student, or a few rows that teach one (distill data)",
  },
  distill_weight: { type: "number >= 0", help: "weight of the method's loss; 1 for most methods", value: "W" },
  label_weight: { type: "number >= 0", help: "weight of the loss of the labels; 0 for most methods", value: "W" },
  loss: { ...LABEL_LOSS.loss, help: "the loss of the labels" },
  mixup: {
    ...MIXUP.mixup,
    help: "of classifiers: teacher and student read rows mixed in pairs, by a share of Beta(BETA, BETA); 0: not",
  },
  mixup_keep: MIXUP.mixup_keep,
  ...GRADIENT_RULE,
  ...SAMPLES,
  ...ADVERSARIAL,
  adversarial: {
    ...ADVERSARIAL.adversarial,
    help: "rows of numbers are moved against the student, anew at every step; mtard shows them to all teachers but the first",
  },
} as const satisfies Options;

/** Options of `distill cache`. */
export const CACHE = {
  teacher: { type: "string[]", help: "model whose most likely tokens are kept", value: "MODEL" },
  with: {
    type: "string[]",
    needs: "method",
    help: "another model that --method combines with the teacher; may be given several times",
    value: "MODEL",
  },
  align: {
    type: "string",
    help: "model whose tokens a teacher of another tokenizer is written down in, token for token by edit distance",
    value: "MODEL",
  },
  teacher_url: {
    type: "string",
    help: "OpenAI-style API that answers in a teacher's place, such as http://localhost:8000/v1",
    value: "URL",
  },
  model: { type: "string", needs: "teacher_url", help: "name of the teacher there", value: "NAME" },
  student: {
    type: "string",
    needs: "teacher_url",
    help: "model whose tokens and outputs what it says is written in",
    value: "MODEL",
  },
  api: {
    type: "'echo' | 'prompt-logprobs'",
    default: "echo",
    needs: "teacher_url",
    help: "how it is asked: by text with echo, or by token ids as vLLM can be",
  },
  key_variable: {
    type: "string",
    default: "OPENAI_API_KEY",
    needs: "teacher_url",
    decides: "nothing",
    help: "environment variable that has the key, if one is needed",
    value: "NAME",
  },
  timeout: {
    type: "number > 0",
    default: 60,
    needs: "teacher_url",
    decides: "nothing",
    help: "seconds that an answer may take",
    value: "S",
  },
  retries: {
    type: "number.integer >= 0",
    default: 3,
    needs: "teacher_url",
    decides: "nothing",
    help: "how often a request that failed is sent again",
    value: "N",
  },
  data: DATA.data,
  top_logprobs: {
    type: "number.integer >= 1",
    was: ["top"],
    default: 64,
    help: "log-probabilities that are kept of every token",
    value: "K",
  },
  codes: {
    type: "'plain' | 'packed'",
    default: "plain",
    help: "8 bytes for each of the K, or packed: ids in few bits, the likeliest in bf16, the others as a curve",
  },
  code_exact: { type: "number.integer >= 0", default: 16, help: "of packed ones, how many are in bf16", value: "E" },
  code_curve: {
    type: "'full' | 'short'",
    default: "full",
    help: "of packed ones, the curve: 1, t, t^2, t^3, t^4 and sqrt(t), or 1, t and sqrt(t)",
  },
  code_bins: {
    type: "0 <= number.integer <= 16",
    default: 0,
    help: "of packed ones, bits for what the curve misses; 0: none",
    value: "BITS",
  },
  ...READING,
  batch_size: DATA.batch_size,
  load_in: LOAD_IN,
} as const satisfies Options;

/** Options of `distill label`. */
export const LABEL = {
  teacher: { type: "string[]", help: "classifier that votes; once for each", value: "MODEL" },
  data: { ...DATA.data, help: "rows whose labels are not looked at" },
  agree: {
    type: "0 <= number <= 1",
    default: 0,
    help: "share of the teachers that must give a row its label; other rows are left out",
    value: "SHARE",
  },
  ...READING,
  batch_size: DATA.batch_size,
} as const satisfies Options;

/** Options of `distill data`. */
export const SYNTHESIS = {
  data: { type: "string[]", help: "real rows of classes, name=path for each group", value: "FILE" },
  init: { type: "string", help: "config.json of the networks that learn the rows: an mlp or a convnet", value: "FILE" },
  per_class: { type: "number.integer >= 1", was: ["ipc"], default: 10, help: "rows of each class", value: "N" },
  steps: { type: "number.integer >= 1", help: "updates of the rows; the method's own when left out", value: "N" },
  tensors: {
    type: "string",
    help: "also write the rows as tensors x, y and lr, with their history",
    value: "FILE",
    writes: "tensors",
  },
  columns: READING.columns,
} as const satisfies Options;

/** Options of `distill domains`, which `--method meta-dmoe` calls. */
export const DOMAINS = {
  teacher: { type: "string[]", help: "experts, one for each domain, in the order of --data", value: "MODEL" },
  student: { type: "string", help: "classifier that learns, trained on all domains already", value: "MODEL" },
  data: { type: "string[]", help: "labelled rows of each expert's domain, name=path", value: "FILE" },
  aggregator: {
    type: "string",
    help: "where what sums up the experts is written, beside the student",
    value: "FILE",
    writes: "tensors",
  },
  heads: { type: "number.integer >= 1", default: 16, help: "attention heads of the aggregator", value: "N" },
  aggregator_steps: {
    type: "number.integer >= 0",
    default: 300,
    help: "steps in which the aggregator learns classes, before all else",
    value: "N",
  },
  aggregator_lr: { type: "number > 0", default: 1e-3, help: "learning rate of the aggregator", value: "RATE" },
  aggregator_drop: {
    type: "0 <= number < 1",
    default: 0.1,
    help: "share of it that is dropped in training",
    value: "P",
  },
  steps: { type: "number.integer >= 0", default: 300, help: "episodes", value: "N" },
  lr: { type: "number > 0", default: 1e-3, help: "learning rate of the student", value: "RATE" },
  support: {
    type: "number.integer >= 1",
    default: 24,
    help: "rows without labels of an episode; as many with labels are asked",
    value: "N",
  },
  inner_lr: { type: "number >= 0", default: 0.1, help: "rate of the one step", value: "RATE" },
  first_order: {
    type: "boolean",
    default: false,
    help: "leave out how the step's slope changes with the student's weights",
  },
} as const satisfies Options;
