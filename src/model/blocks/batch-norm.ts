/**
 * Batch normalization in an architecture: its weights, its running statistics as weights that nothing trains, and which
 * statistics rows are normalized by. config.json has `hidden_norm`: "batch", or "adab2n", whose rows are weighed by
 * their task (tensor/ops/batch-norm.ts); `norm_momentum`, `norm_eps`, and of adab2n `norm_kappa` and `norm_tasks`.
 */
import { UserError } from "../../errors.ts";
import {
  equalWeights,
  followStatistics,
  nextMomentum,
  normalized,
  normScale,
  type Statistics,
  statisticsGap,
  statisticsOf,
  taskWeights,
} from "../../tensor/ops/batch-norm.ts";
import { abs, mul, stopGradient } from "../../tensor/ops/elementwise.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Box, Inputs, Json, Net, ParameterSpec } from "../architecture.ts";
import type { ConfigReader } from "../config.ts";

export interface BatchNorm {
  readonly momentum: number;
  readonly eps: number;
  /** Of adab2n. */
  readonly balanced?: { readonly tasks: number; readonly kappa: number };
}

/** Reads what the config says; undefined where nothing is normalized. Throws UserError. */
export function batchNorm(c: ConfigReader): BatchNorm | undefined {
  if (!c.has("hidden_norm")) return undefined;
  const kind = c.oneOf("hidden_norm", ["batch", "adab2n"]);
  const momentum = c.number("norm_momentum", 0.1, { least: 0, open: true });
  const own = { momentum: Math.min(1, momentum), eps: c.number("norm_eps", 1e-5, { least: 0, open: true }) };
  if (kind === "batch") return own;
  return { ...own, balanced: { tasks: c.count("norm_tasks"), kappa: c.number("norm_kappa", 1, { least: 0 }) } };
}

/** A config whose batch norms weigh rows by their task. Throws UserError for one without batch norms. */
export function balancedNorms(json: Json, { tasks, kappa }: { readonly tasks: number; readonly kappa: number }): Json {
  if (json.model_type !== "mlp" || (json.hidden_norm ?? undefined) === undefined)
    throw new UserError(
      `--norm adab2n is for models with batch norms, and this ${json.model_type} has none`,
      'begin with an mlp that has "hidden_norm": "batch" in its config.json, or leave the option out',
    );
  return { ...json, hidden_norm: "adab2n", norm_kappa: kappa, norm_tasks: tasks };
}

/** How config.json says it. */
export const batchNormJson = (norm: BatchNorm | undefined): Json =>
  norm
    ? {
        hidden_norm: norm.balanced ? "adab2n" : "batch",
        norm_momentum: norm.momentum,
        norm_eps: norm.eps,
        ...(norm.balanced ? { norm_kappa: norm.balanced.kappa, norm_tasks: norm.balanced.tasks } : {}),
      }
    : {};

const RUNNING = { buffer: true, running: true };

/** The weights of one layer's norm over `width` columns. */
export function batchNormParameters({ balanced }: BatchNorm, module: string, width: number): ParameterSpec[] {
  return [
    { name: `${module}.weight`, shape: [width], init: "ones" },
    { name: `${module}.bias`, shape: [width], init: "zeros" },
    { name: `${module}.running_mean`, shape: [width], init: "zeros", ...RUNNING },
    { name: `${module}.running_var`, shape: [width], init: "ones", ...RUNNING },
    ...(balanced
      ? ([
          { name: `${module}.momentum`, shape: [1], init: "zeros", ...RUNNING },
          { name: `${module}.task_weights`, shape: [balanced.tasks], init: "zeros" },
        ] as const)
      : []),
  ];
}

/** What a note of a layer's distance to its running statistics is called. */
export const NORM_GAP = "norm_gap.";

const affineOf = (net: Net, { eps }: BatchNorm, module: string) => ({
  gain: net.weight(`${module}.weight`),
  bias: net.weight(`${module}.bias`),
  eps,
});

/** What a note of the statistics that a layer went by is called. */
const [MEAN, VARIANCE] = ["norm_mean.", "norm_variance."];

/**
 * The statistics that rows are normalized by. In training those of the batch, which the running ones follow; at "rows"
 * those of the batch, which nothing follows.
 */
function statisticsFor(net: Net, norm: BatchNorm, module: string, x: Tensor, inputs: Inputs): Statistics {
  const { rec } = net;
  const [n = 0, width = 0] = x.shape;
  const row = (name: string) => stopGradient(rec, rec.reshape(net.weight(`${module}.${name}`), [1, width]));
  const running = { mean: row("running_mean"), variance: row("running_var") };
  if (net.statistics === "running" || n < 2) return running;
  if (net.statistics === "rows") return statisticsOf(rec, x, equalWeights(rec, n));
  const { balanced, momentum } = norm;
  const tasks = balanced && inputs.tasks?.(balanced.tasks);
  const weights = tasks ? taskWeights(rec, tasks, net.weight(`${module}.task_weights`)) : equalWeights(rec, n);
  const own = statisticsOf(rec, x, weights);
  if (!balanced) {
    followStatistics(rec, own, running, {
      momentum: rec.constant(Float32Array.of(momentum), [1], "momentum"),
      rows: n,
    });
    return own;
  }
  net.note(`${NORM_GAP}${module}`, statisticsGap(rec, own, running));
  const falling = net.weight(`${module}.momentum`);
  nextMomentum(rec, falling, { eta: momentum, kappa: balanced.kappa });
  followStatistics(rec, own, running, { momentum: falling, rows: n });
  return own;
}

/**
 * Rows x (N, C), normalized. In training (`net.statistics` "batch") by their own statistics, which the running ones
 * follow; at "rows" by their own, and nothing follows; elsewhere, and where a batch has one row, by the running ones.
 */
export function batchNormed(net: Net, norm: BatchNorm, module: string, x: Tensor, inputs: Inputs): Tensor {
  const { mean, variance } = statisticsFor(net, norm, module, x, inputs);
  const noted = { mean: net.note(MEAN + module, mean), variance: net.note(VARIANCE + module, variance) };
  return normalized(net.rec, x, noted, affineOf(net, norm, module));
}

/** The box of rows (N, C), normalized by the statistics that `batchNormed` went by in the same pass. */
export function batchNormedBox(net: Net, norm: BatchNorm, module: string, { center, radius }: Box): Box {
  const { rec } = net;
  const used = { mean: net.noted(MEAN + module), variance: net.noted(VARIANCE + module) };
  const affine = affineOf(net, norm, module);
  return {
    center: normalized(rec, center, used, affine),
    radius: mul(rec, radius, abs(rec, normScale(rec, used.variance, affine))),
  };
}
