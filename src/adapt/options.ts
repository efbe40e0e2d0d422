/** Options of the `adapt` script's sub-commands. */
import { type Dtype, dtypeWord } from "../checkpoint/dtype.ts";
import { READING } from "../data/options.ts";
import type { Options } from "../method/options.ts";
import { TEST_TIME } from "../run/test-time/options.ts";
import { CLASS_LOSSES } from "../run/training/class-losses.ts";
import { GRADIENT_RULE } from "../run/training/gradient-rule.ts";
import { LABEL_LOSS } from "../run/training/label-loss.ts";
import { RUN } from "../run/training/options.ts";

/** Types of an adapter's matrices by their option. */
export const DTYPES: Readonly<Record<string, Dtype>> = { f32: "F32", bf16: "BF16", f16: "F16" };

const DTYPE = {
  dtype: {
    type: "'f32' | 'bf16' | 'f16'",
    default: "f32",
    spelling: dtypeWord,
    help: "type of the adapter's matrices",
  },
} as const satisfies Options;

export const COMBINE = {
  weight: {
    type: "number[]",
    value: "W",
    help: "weight of each adapter; 1 for each when left out, which adds them up",
  },
  compat: {
    type: "'none' | 'peft'",
    default: "none",
    help: "peft: count an adapter's scale twice where PEFT does, and do not rescale what dare keeps",
  },
  ...DTYPE,
} as const satisfies Options;

/** Of `adapt gain`. */
export const GAIN = {
  data: {
    type: "string[]",
    required: true,
    help: "unlabelled rows of the new kind, name=path for each group",
    value: "FILE",
  },
  reference: {
    type: "string[]",
    required: true,
    help: "rows of the kind that the model knows, from which its inputs are told again",
    value: "FILE",
  },
  targets: {
    type: "string[]",
    help: "layers whose output channels get gains; the first of each MLP's when left out",
    value: "NAME",
  },
  alpha: { type: "number >= 0", default: 0.05, help: "price of activity, in units of the error", value: "A" },
  beta: { type: "number >= 0", default: 0.1, help: "price of gains other than 1, in units of the error", value: "B" },
  ridge: { type: "number > 0", default: 1e-3, help: "of the decoder, as a share of the responses' square", value: "R" },
  batch_size: { type: "number.integer >= 1", default: 16, help: "rows that are run at once", value: "N" },
  ...READING,
} as const satisfies Options;

/** Of `adapt fuse`. */
export const FUSE = {
  adapters: {
    type: "string",
    required: true,
    help: "folder with a folder of each task, in which its snapshots are: adapters of one training, in order",
    value: "DIR",
  },
  data: {
    type: "string[]",
    required: true,
    help: "rows of each task, NAME=FILE by the names of the folders",
    value: "FILE",
  },
  eval_data: {
    type: "string[]",
    help: "rows that the table at the end is of, by the same names; those of --data when left out",
    value: "FILE",
  },
  weight: {
    type: "number[]",
    value: "W",
    help: "shares of the tasks that a mixture begins with, divided by their sum; equal when left out",
  },
  latent: { type: "number.integer >= 1", default: 128, help: "latent numbers of an adapter", value: "N" },
  channels: {
    type: "number[]",
    default: [8, 16, 32],
    value: "N",
    help: "channels of each convolution of the encoder, which halves the length",
  },
  steps: { type: "number.integer >= 0", default: 2000, help: "steps of the network on snapshots alone", value: "N" },
  lr: { type: "number > 0", default: 1e-3, help: "rate of the network, which falls to a tenth" },
  snapshot_batch: { type: "number.integer >= 1", default: 16, help: "snapshots of a step", value: "N" },
  kl_weight: { type: "number >= 0", default: 0.005, help: "weight of the latent numbers' divergence from normal ones" },
  meta_steps: {
    type: "number.integer >= 0",
    default: 100,
    help: "further steps of the network, by what mixtures of it lose after --inner-steps",
    value: "N",
  },
  meta_lr: { type: "number > 0", default: 5e-4, help: "rate of the network in --meta-steps" },
  inner_steps: { type: "number.integer >= 0", default: 3, help: "steps of a mixture in each of --meta-steps" },
  mix_lr: { type: "number > 0", default: 0.1, help: "rate of a mixture's steps" },
  fuse_steps: {
    type: "number.integer >= 0",
    default: 20,
    help: "steps of the mixture that is decoded; 0: the shares as given",
    value: "N",
  },
  prompts: {
    type: "number.integer >= 1",
    default: 32,
    help: "rows of each task, the first ones, that say what its prompts are like",
    value: "N",
  },
  batch_size: { type: "number.integer >= 1", default: 16, help: "rows of each task in a step", value: "N" },
  ...READING,
  ...DTYPE,
} as const satisfies Options;

export const RESIZE = {
  rank: { type: "number.integer >= 1", value: "N", help: "rank of every module; a larger one is filled up with zeros" },
  energy: {
    type: "0 < number <= 1",
    value: "SHARE",
    help: "smallest rank of each module that keeps this share of its change's squares",
  },
  ...DTYPE,
} as const satisfies Options;

export const FLATTEN = { ...DTYPE } as const satisfies Options;

export const EXTRACT = {
  base: {
    type: "string",
    value: "MODEL",
    was: ["base_model"],
    help: "checkpoint that the model was tuned from",
  },
  model: { type: "string", value: "MODEL", help: "of mergekit: the fine-tune, as the argument" },
  rank: {
    type: "number.integer >= 1",
    value: "N",
    default: 128,
    was: ["max_rank"],
    help: "largest rank of a module's change",
  },
  energy: {
    type: "0 < number <= 1",
    value: "SHARE",
    help: "smallest rank of each module that keeps this share of its change's squares, up to --rank",
  },
  budget: {
    type: "string",
    value: "SIZE",
    help: "bytes of the whole adapter, spent where they keep the most; ranks up to --rank",
  },
  embed_lora: { type: "boolean", help: "embeddings and heads as factors too, where they have equal heights" },
  save_module: { type: "string[]", value: "NAME", help: "modules to hold whole, by name or end of a name" },
  include_regex: { type: "string[]", value: "REGEX", help: "only modules whose names one of these finds" },
  exclude_regex: { type: "string[]", value: "REGEX", help: "leave out modules whose names one of these finds" },
  distribute_scale: {
    type: "boolean",
    default: true,
    help: "roots of singular values in both factors; otherwise they are all in A",
  },
  sv_epsilon: { type: "number >= 0", default: 0, help: "leave out directions of singular values up to this" },
  skip_undecomposable: { type: "boolean", help: "leave out changed tensors that no adapter can hold, with a warning" },
  ...DTYPE,
} as const satisfies Options;

/** Options of `adapt assign`. */
export const ASSIGN = {
  codebook: {
    type: "string",
    value: "FILE",
    help: "adapters with the texts of their tasks, as this command wrote them; none so far when left out",
  },
  threshold: {
    type: "number >= 0",
    default: 0.9,
    help: "mean cosine of TF-IDF vectors from which on an adapter takes the task; 0.3 for texts that vary much",
  },
  choose: {
    type: "boolean",
    default: false,
    help: "name the adapter that is most alike, whatever the threshold, and add nothing: for answering",
  },
  name: { type: "string", value: "NAME", help: "of a new adapter; adapter-1, adapter-2 and so on when left out" },
  texts: {
    type: "number.integer >= 1",
    default: 100,
    value: "N",
    help: "different texts of the task that are compared and kept: the first ones",
  },
  columns: READING.columns,
} as const satisfies Options;

/** Of `adapt stream`. */
export const TEST_STREAM = {
  data: {
    type: "string[]",
    required: true,
    help: "rows to answer in their order, name=path for each domain; labels are only measured by, and may be missing",
    value: "FILE",
  },
  predictions: {
    type: "string",
    decides: "nothing",
    writes: "text",
    help: "file for the answer to every row and its scores (JSONL)",
    value: "FILE",
  },
  ...TEST_TIME,
} as const satisfies Options;

/** Which tasks a model learns one after the other, and what is measured. */
export const STREAM = {
  scenario: {
    type: "'domain' | 'class' | 'task'",
    default: "domain",
    needs: "tasks",
    help: "outputs of a classifier that take part: all of them, those of classes that have come so far, or those of the row's own task, which is then known",
  },
  tasks: {
    type: "string[]",
    value: "FILE",
    help: "tasks to learn one after the other, in this order: files of rows, or NAME=FILE, separated by commas",
  },
  joint_scores: {
    type: "string",
    decides: "nothing",
    needs: "tasks",
    value: "FILE",
    help: "JSON that --method joint --json wrote on the same tasks: intransigence is told beside it",
  },
  eval_tasks: {
    type: "string[]",
    value: "FILE",
    needs: "tasks",
    help: "held-out rows of each task, by the names of --tasks; or --eval-split. The task's own rows when left out",
  },
  norm: {
    type: "'own' | 'adab2n'",
    default: "own",
    needs: "tasks",
    help: "how batch norms of the model are trained; adab2n weighs rows by their task, and its momentum falls",
  },
  norm_kappa: {
    type: "number >= 0",
    default: 0.4,
    with: { norm: "adab2n" },
    help: "1: a constant momentum; 0: one over the count of batches",
    value: "K",
  },
  norm_loss: {
    type: "number >= 0",
    default: 0.01,
    with: { norm: "adab2n" },
    help: "weight of the squared way from a batch's statistics to the running ones",
  },
  norm_loss_from: {
    type: "number.integer >= 0",
    default: 1,
    with: { norm: "adab2n" },
    help: "first task, from 0, that it takes part in",
    value: "N",
  },
  refresh: {
    type: "boolean",
    default: false,
    needs: "tasks",
    help: "before each step move the weights a little uphill on the new rows, less where earlier tasks hang on them",
  },
  refresh_delta: {
    type: "number >= 0",
    default: 1e-5,
    needs: "refresh",
    help: "share of a weight's length that it is moved by",
  },
  refresh_noise: { type: "number >= 0", default: 1e-3, needs: "refresh", help: "deviation of noise in the move" },
  refresh_tau: {
    type: "0 <= number <= 1",
    default: 1e-5,
    needs: "refresh",
    help: "how much importances of earlier tasks count after each further one",
  },
  refresh_rows: {
    type: "number.integer >= 1",
    default: 200,
    needs: "refresh",
    help: "rows of a task on which importances are measured",
    value: "N",
  },
} as const satisfies Options;

const { precision: _precision, loss_scale: _scale, loss_scale_every: _every, ...run } = RUN;

/** Options of `adapt` itself: those of every script that trains in f32, and those of streams. */
export const ADAPT = {
  ...run,
  ...LABEL_LOSS,
  ...GRADIENT_RULE,
  ...CLASS_LOSSES,
  ...STREAM,
} as const satisfies Options;

/** Of `adapt select`. */
export const SELECT = {
  test: {
    type: "string",
    required: true,
    value: "FILE",
    help: "rows of new environments; where they have y, the risk is told",
  },
  sets: {
    type: "string[]",
    value: "PLACES",
    help: "places of the values of a candidate, from 0, such as 0,2; all sets of up to five values when left out",
  },
  gate: {
    type: "'softmax' | 'nearest'",
    default: "softmax",
    help: "what chooses: a softmax regression on an environment's statistics, or the nearest known environment",
  },
  soft: { type: "boolean", default: false, help: "answer by the mixture of the sets, not by the likeliest alone" },
  ridge: {
    type: "number >= 0",
    default: 1e-6,
    value: "R",
    help: "penalty of the fits, as a share of the values' squares",
  },
  decay: { type: "number >= 0", default: 1e-3, value: "W", help: "penalty of the gate's weights" },
} as const satisfies Options;
