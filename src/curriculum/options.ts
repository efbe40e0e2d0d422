/** Options of `curriculum` besides those of a method. */
import type { Options } from "../method/options.ts";
import { RUN } from "../run/training/options.ts";

const { pack: _pack, weights: _weights, smoothing: _smoothing, z_loss: _z, ...run } = RUN;

export const CURRICULUM = {
  ...run,
  graph: { type: "string", help: "skill graph from `curriculum graph`", value: "FILE" },
  schedule_from: {
    type: "string",
    help: "repeat the mixtures of an earlier run's --log, whatever its method",
    value: "FILE",
  },
  task_loss: {
    type: "'token-mean' | 'sample-mean' | 'task-token-mean' | 'task-sample-mean' | 'task-focal'",
    help: "what the loss is a mean over: tokens (when left out), rows, or tokens or rows within each group (coba: task-token-mean)",
  },
  focus: { type: "number >= 0", default: 2, help: "task-focal: power of 1 - likelihood" },
  sample_weight: {
    type: "'uniform' | 'linupper' | 'quadratic' | 'extremes'",
    default: "uniform",
    help: "weigh rows of a batch by their own loss; linupper spares the easy ones",
  },
  reweight_temp: {
    type: "number > 0",
    default: 0.5,
    help: "r of --sample-weight; larger is nearer to uniform",
    value: "R",
  },
  reweight_warmup: { type: "0 <= number < 1", default: 0.1, help: "share of the steps with uniform weights first" },
  graph_steps: {
    type: "number.integer >= 1",
    default: 50,
    help: "curriculum graph: steps of every short run",
    value: "N",
  },
  exact: { type: "boolean", default: false, help: "curriculum graph: the exact test, a run for every pair" },
  edges: { type: "string[]", help: "curriculum graph: a graph by hand, from:to for every edge", value: "FROM:TO" },
  select_by: {
    type: "'lowest-loss' | 'gradient-norm' | 'dp-means' | 'craig'",
    default: "lowest-loss",
    help: "curriculum select: what chooses rows; the last two cover the hidden states",
  },
  keep: { type: "number > 0", default: 0.25, help: "curriculum select: rows to keep, or below 1 the share of all" },
  per_cluster: { type: "number.integer >= 1", default: 4, help: "dp-means: rows of a cluster" },
  ranked: { type: "boolean", default: false, help: "curriculum select: the best first, not in the order of the files" },
  flops: { type: "number > 0", help: "curriculum plan: floating-point operations that may be spent", value: "C" },
  parameters: { type: "number > 0", help: "curriculum plan: parameters of the model", value: "P" },
  tokens: { type: "number > 0", help: "curriculum plan: tokens that there are", value: "D" },
  tokens_per_param: { type: "number > 0", default: 20, help: "curriculum plan: tokens per parameter", value: "RHO" },
} as const satisfies Options;
