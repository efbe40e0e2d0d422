/** Options of `curriculum` and its sub-commands, besides those of a method. */
import type { Options } from "../method/options.ts";
import { CARRIED } from "../run/training/carried-state.ts";
import { DATA, OPTIMIZATION, RUN, TRAINED } from "../run/training/options.ts";

const { pack: _pack, mixture: _mixture, smoothing: _smoothing, z_loss: _z, ...run } = RUN;

const TASK_LOSS = {
  task_loss: {
    type: "'token-mean' | 'sample-mean' | 'task-token-mean' | 'task-sample-mean' | 'task-focal'",
    help: "what the loss is a mean over: tokens (when left out), rows, or tokens or rows within each group (coba: task-token-mean)",
  },
  focus: {
    type: "number >= 0",
    default: 2,
    with: { task_loss: "task-focal" },
    help: "task-focal: power of 1 - likelihood",
  },
} as const satisfies Options;

const WEIGHED = { sample_weight: ["linupper", "quadratic", "extremes"] } as const;

export const CURRICULUM = {
  ...run,
  ...CARRIED,
  schedule_from: {
    type: "string",
    help: "repeat the mixtures of an earlier run's --log, whatever its method",
    value: "FILE",
  },
  scores: {
    type: "string",
    help: "losses of the rows that an ordering goes by, of a model of its own: a file of curriculum score; those of the model at the start when left out",
    value: "FILE",
  },
  task_loss: TASK_LOSS.task_loss,
  // The log of --schedule-from may name the loss that it is for.
  focus: { ...TASK_LOSS.focus, needs: "schedule_from" },
  sample_weight: {
    type: "'uniform' | 'linupper' | 'quadratic' | 'extremes'",
    default: "uniform",
    help: "weigh rows of a batch by their own loss; linupper spares the easy ones",
  },
  reweight_temp: {
    type: "number > 0",
    default: 0.5,
    with: WEIGHED,
    help: "r of --sample-weight; larger is nearer to uniform",
    value: "R",
  },
  reweight_warmup: {
    type: "0 <= number < 1",
    default: 0.1,
    with: WEIGHED,
    help: "share of the steps with uniform weights first",
  },
} as const satisfies Options;

/** How rows of text become batches. */
const READING = {
  data: DATA.data,
  columns: DATA.columns,
  tokenizer: DATA.tokenizer,
  template: DATA.template,
  turns: DATA.turns,
  batch_size: DATA.batch_size,
  max_length: DATA.max_length,
  token_cache: DATA.token_cache,
  overflow: DATA.overflow,
} as const satisfies Options;

/** How the sub-commands train that train shortly, many times. */
export const SHORT_RUNS = {
  init: RUN.init,
  ...READING,
  eval_data: DATA.eval_data,
  eval_split: DATA.eval_split,
  optimizer: OPTIMIZATION.optimizer,
  lr: OPTIMIZATION.lr,
  schedule: OPTIMIZATION.schedule,
  decay_all: OPTIMIZATION.decay_all,
  clip: OPTIMIZATION.clip,
  dtype: TRAINED.dtype,
  load_in: TRAINED.load_in,
  state_dtype: TRAINED.state_dtype,
  freeze: TRAINED.freeze,
  train_only: TRAINED.train_only,
  recompute: TRAINED.recompute,
  adapter: TRAINED.adapter,
  adapter_targets: TRAINED.adapter_targets,
  lora: TRAINED.lora,
  lora_rank: TRAINED.lora_rank,
  lora_alpha: TRAINED.lora_alpha,
  lora_targets: TRAINED.lora_targets,
  lora_dropout: TRAINED.lora_dropout,
  rslora: TRAINED.rslora,
  dora: TRAINED.dora,
  adapter_init: TRAINED.adapter_init,
  lora_continue: TRAINED.lora_continue,
  ...TASK_LOSS,
} as const satisfies Options;

/** Options of `curriculum graph`. */
export const GRAPH = {
  ...SHORT_RUNS,
  graph_steps: { type: "number.integer >= 1", default: 50, help: "steps of every short run", value: "N" },
  exact: { type: "boolean", default: false, help: "the exact test, a run for every pair" },
  edges: { type: "string[]", help: "a graph by hand, from:to for every edge", value: "FROM:TO" },
} as const satisfies Options;

/** Options of `curriculum balance`. */
export const BALANCE = {
  ...SHORT_RUNS,
  mini: { type: "0 < number < 1", default: 1 / 16, help: "share of a group's rows in its small subset" },
  passes: { type: "number > 0", default: 1, help: "passes over the rows of every run" },
  tau: { type: "number > 0", default: 0.5, help: "temperature of the weights; large weighs all groups alike" },
  parts: {
    type: "number[]",
    default: [0.25, 0.25, 0.5],
    help: "parts of the weights: what a group does for others, how little others do for it, how hard it is",
    value: "A,B,C",
  },
} as const satisfies Options;

/** Options of `curriculum mixture-search`. */
export const MIXTURE_SEARCH = {
  ...SHORT_RUNS,
  part_steps: { type: "number.integer >= 1", default: 50, help: "steps on every unit of a part", value: "N" },
  unit_rows: {
    type: "number.integer >= 1",
    value: "N",
    help: "rows of a unit, into which parts are cut, so that larger parts count for more; those of the least part when left out",
  },
  mixtures: {
    type: "'greedy' | 'all'",
    default: "greedy",
    help: "which are looked at: the best part, and always the next that helps most; or every set of parts",
  },
  calibrate: {
    type: "number.integer >= 0",
    default: 0,
    value: "N",
    help: "pairs of parts that are trained on for real, to say how well averages rank them",
  },
  keep_parts: {
    type: "string",
    decides: "nothing",
    value: "DIR",
    help: "keep the model of every unit and pair there; a search that was stopped trains none of them again",
  },
} as const satisfies Options;

/** Options of `curriculum regmix`. */
export const REGMIX = {
  ...SHORT_RUNS,
  mixture_runs: { type: "number.integer >= 3", default: 32, help: "mixtures that are trained on", value: "N" },
  mixture_steps: { type: "number.integer >= 1", default: 50, help: "steps on every mixture", value: "N" },
  strengths: {
    type: "number[]",
    default: [0.1, 5],
    help: "how near drawn mixtures are to the shares of rows, from and to; small: few groups in each",
    value: "LOW,HIGH",
  },
  law: {
    type: "'quadratic' | 'exponential'",
    default: "quadratic",
    help: "what foretells the loss of a mixture: a polynomial of its shares, or a data mixing law",
  },
  ridge: {
    type: "number > 0",
    default: 0.001,
    help: "penalty of the fit, as a share of the mean square of the shares",
  },
  candidates: {
    type: "1 <= number.integer <= 10000000",
    default: 100_000,
    help: "mixtures whose loss is foretold",
    value: "N",
  },
  best_of: { type: "number.integer >= 1", default: 100, help: "best candidates, whose mean is the answer", value: "N" },
  aim: {
    type: "string[]",
    value: "GROUP",
    help: "held-out groups whose mean loss is to be small; all of them when left out",
  },
} as const satisfies Options;

/** Options of `curriculum correlate`. */
export const CORRELATE = {
  scores: { type: "string", help: "how well the models do: the JSON of evaluate", value: "FILE" },
  loss_metric: { type: "string", default: "loss", help: "which figures of the first file are losses", value: "METRIC" },
  score_metric: {
    type: "string",
    help: "which figures of --scores count; the mean of all when left out",
    value: "METRIC",
  },
  estimator: {
    type: "'sign-rank' | 'spearman'",
    default: "sign-rank",
    help: "how losses are compared with scores: ranks of losses by the order of each pair, or ranks of both",
  },
  sizes: { type: "string[]", help: "tokens of each group; all alike when left out", value: "GROUP=TOKENS" },
  budget: { type: "number > 0", help: "tokens that are to be chosen; half of all when left out", value: "TOKENS" },
} as const satisfies Options;

/** Options of `curriculum weights`. */
export const WEIGHTS = {
  data: { ...DATA.data, help: "rows to weigh, as lines of JSON" },
  pool: { type: "string[]", help: "rows that they are to look like, as lines of JSON", value: "FILE" },
  feature_key: { type: "string", default: "x", help: "key of a row's features: numbers, in lists", value: "KEY" },
  weigh_by: {
    type: "'dual' | 'gap'",
    default: "dual",
    help: "how weights are found: by the dual of entropy balancing, or by a network that closes gaps batch by batch",
  },
  anchors: {
    type: "'random' | 'worst-case' | 'adaptive'",
    default: "worst-case",
    help: "where in the pool rows are compared: anywhere, where they are most unlike, or where losses (--loss-key) depend on it",
  },
  anchor_count: {
    type: "number.integer >= 1",
    help: "places where rows are compared: 16 of dual, 3 of each batch of gap when left out",
    value: "N",
  },
  kernel_gamma: {
    type: "number > 0",
    default: 4,
    help: "of the kernel exp(-G mean squared difference of features, each scaled to [0, 1])",
    value: "G",
  },
  tolerance: { type: "number > 0", default: 1e-3, help: "of what is left of differences", value: "C" },
  gap_strength: { type: "number > 0", default: 30, with: { weigh_by: ["gap"] }, help: "weight of gaps beside entropy" },
  gap_steps: { type: "number.integer >= 1", default: 300, with: { weigh_by: ["gap"] }, help: "batches of 128 rows" },
  gap_lr: { type: "number > 0", default: 0.05, with: { weigh_by: ["gap"] }, help: "learning rate of the network" },
  prior_key: { type: "string", help: "key of weights to begin with, such as inverse propensities", value: "KEY" },
  loss_key: { type: "string", help: "key of rows' losses, for --anchors adaptive", value: "KEY" },
} as const satisfies Options;

const LEARNT = "number.integer >= 1";

/** Options of `curriculum mix-agent`. */
export const MIX_AGENT = {
  ...SHORT_RUNS,
  new_groups: { type: "string[]", help: "collect: groups that are new to the model; the others are what it knows" },
  trajectories: { type: LEARNT, default: 24, help: "collect: trainings, all from the same start", value: "N" },
  rounds: { type: LEARNT, default: 12, help: "collect: mixtures of a training, one after the other", value: "R" },
  round_steps: { type: LEARNT, default: 20, help: "collect: steps under each", value: "N" },
  field_weights: {
    type: "number[]",
    default: [1, 1],
    help: "fit: weights of what is gained on the groups that the model knows, and on new ones",
    value: "OLD,NEW",
  },
  history: { type: LEARNT, default: 4, help: "fit: rounds that the agent looks back at", value: "H" },
  hidden: { type: LEARNT, default: 64, help: "fit: units of its layers", value: "N" },
  best_share: {
    type: "0 < number <= 1",
    default: 0.25,
    help: "fit: share of the trainings, the best first, whose mixtures it learns to repeat",
  },
  clone_steps: {
    type: "number.integer >= 0",
    default: 500,
    help: "fit: steps of that before it learns values",
    value: "N",
  },
  agent_steps: { type: "number.integer >= 0", default: 1000, help: "fit: steps of values and policy", value: "N" },
  agent_batch: { type: LEARNT, default: 32, help: "fit: rounds of a step", value: "N" },
  agent_lr: { type: "number > 0", default: 3e-4, help: "fit: learning rate of its networks" },
  proposals: {
    type: LEARNT,
    default: 8,
    help: "fit: mixtures beside its own that values are compared with",
    value: "N",
  },
  conservative: {
    type: "number >= 0",
    default: 1,
    help: "fit: weight of rating mixtures that were tried above others",
    value: "ALPHA",
  },
  cloning: { type: "number >= 0", default: 0.1, help: "fit: weight of the best trainings' mixtures beside values" },
  discount: { type: "0 <= number <= 1", default: 0.99, help: "fit: what a round later counts" },
} as const satisfies Options;

/** Options of `curriculum score`. */
export const SCORE = {
  ...READING,
  dtype: TRAINED.dtype,
  loss_key: { type: "string", default: "loss", help: "key that the loss gets, in nats per token", value: "KEY" },
} as const satisfies Options;

/** Options of `curriculum select`. */
export const SELECT = {
  init: RUN.init,
  ...READING,
  dtype: TRAINED.dtype,
  freeze: TRAINED.freeze,
  train_only: TRAINED.train_only,
  select_by: { type: "string", kind: "selector", default: "lowest-loss", help: "what chooses rows" },
  keep_rows: { type: "number > 0", was: ["keep"], default: 0.25, help: "rows to keep, or below 1 the share of all" },
  ranked: { type: "boolean", default: false, help: "the best first, not in the order of the files" },
  weigh: {
    type: "boolean",
    default: false,
    help: "give each row a loss_weight: how many rows it stands for, of mean 1 (selectors that know it)",
  },
  target: {
    type: "string[]",
    value: "FILE",
    help: "rows that the training is for, name=path for each set, for selectors that aim at some",
  },
  sketch_width: {
    type: "number.integer >= 64",
    default: 1024,
    value: "N",
    help: "numbers that stand for a gradient, a power of two, for selectors that compare gradients",
  },
} as const satisfies Options;

/** Options of `curriculum stages`. */
export const STAGES = {
  to: {
    type: "string",
    help: "folder of all stages, each in one of its own; what the file says when left out",
    value: "DIR",
  },
  value: { type: "string[]", help: "instead of a value of the file", value: "NAME=VALUE" },
} as const satisfies Options;

/** Options of `curriculum plan`. */
export const PLAN = {
  flops: { type: "number > 0", help: "floating-point operations that may be spent", value: "C" },
  parameters: { type: "number > 0", help: "parameters of the model", value: "P" },
  tokens: { type: "number > 0", help: "tokens that there are", value: "D" },
  tokens_per_param: { type: "number > 0", default: 20, help: "tokens per parameter", value: "RHO" },
  fit: { type: "string", help: "log of a run whose losses a power law is fitted to", value: "LOG" },
  at: {
    type: "number[]",
    needs: "fit",
    help: "steps to forecast the loss at; when left out those of the plan, or 2, 4 and 10 times those of the run",
    value: "STEP",
  },
  batch_size: DATA.batch_size,
  max_length: DATA.max_length,
} as const satisfies Options;
