/**
 * One less a metric of classification, made smooth: a = 1 / (1 + exp(-L (p - 1/2))) stands for the decision. Of two
 * labels the second is the one that is looked for; of more it is the mean over labels, each against the rest. Han,
 * Moniz and Chawla 2024, https://arxiv.org/abs/2405.14745
 */
import { UserError } from "../../../errors.ts";
import { defineLabelLoss } from "../../../run/training/label-loss.ts";
import { add, addScalar, div, mul, neg, scale, sigmoid, sqrt, sub, sumTo } from "../../../tensor/ops/elementwise.ts";
import { embedding } from "../../../tensor/ops/embedding.ts";
import { mean } from "../../../tensor/ops/reduce.ts";
import { softmax } from "../../../tensor/ops/softmax.ts";
import type { Recorder } from "../../../tensor/recorder.ts";
import type { Tensor } from "../../../tensor/tensor.ts";

/** Keeps a division by a number of rows that may be 0 finite. */
const EPSILON = 1e-8;

/** (1, K) each: rows of a label, decisions for it, and both at once. */
interface Sums {
  readonly actual: Tensor;
  readonly decided: Tensor;
  readonly both: Tensor;
  readonly rows: number;
}

const ratio = (rec: Recorder, a: Tensor, b: Tensor): Tensor => div(rec, a, addScalar(rec, b, EPSILON));

/** n - decided - actual + both: rows that are rightly not decided for. */
const rightlyNot = (rec: Recorder, { actual, decided, both, rows }: Sums): Tensor =>
  addScalar(rec, sub(rec, both, add(rec, actual, decided)), rows);

/** Shares of a label's rows, and of the others, that are decided rightly. */
function rates(rec: Recorder, sums: Sums): [Tensor, Tensor] {
  const others = addScalar(rec, neg(rec, sums.actual), sums.rows);
  return [ratio(rec, sums.both, sums.actual), ratio(rec, rightlyNot(rec, sums), others)];
}

const METRICS: Readonly<Record<string, (rec: Recorder, sums: Sums, beta: number) => Tensor>> = {
  fbeta: (rec, { actual, decided, both }, beta) =>
    ratio(rec, scale(rec, both, 1 + beta * beta), add(rec, scale(rec, actual, beta * beta), decided)),
  accuracy: (rec, sums) => scale(rec, add(rec, sums.both, rightlyNot(rec, sums)), 1 / sums.rows),
  "balanced-accuracy": (rec, sums) => scale(rec, add(rec, ...rates(rec, sums)), 0.5),
  // The root has no slope at 0.
  gmean: (rec, sums) => sqrt(rec, addScalar(rec, mul(rec, ...rates(rec, sums)), EPSILON)),
};

export const method = defineLabelLoss({
  name: "anyloss",
  title: "AnyLoss",
  about: "one less a metric of the batch: F-beta, accuracy, balanced accuracy or the geometric mean",
  cite: "arXiv:2405.14745",
  laws: {
    shiftFree: true,
    favours: "a number of the whole batch",
    vanishes: true,
    bounded: true,
    ownRow: "a number of the whole batch",
  },
  options: {
    any_metric: {
      type: "'fbeta' | 'accuracy' | 'balanced-accuracy' | 'gmean'",
      default: "fbeta",
      help: "what is maximised",
    },
    any_beta: {
      type: "number > 0",
      default: 1,
      with: { any_metric: "fbeta" },
      help: "how much more recall counts than precision",
      value: "B",
    },
    any_steepness: { type: "number > 0", default: 73, help: "of the decision at probability 1/2", value: "L" },
  },
  check(_, { outputs, isClassifier }) {
    if (!isClassifier || outputs < 2)
      throw new UserError("--loss anyloss is of classifiers of two labels or more", "leave it out");
  },
  batch(rec, { logits, targets, values }) {
    const [n = 0, k = 0] = logits.shape;
    // Of two labels the second alone.
    const looked = (label: number) => (k === 2 ? (label === 1 ? [1] : [0]) : identity(k, label));
    const wide = k === 2 ? 1 : k;
    const table = rec.constant(
      Float32Array.from(Array.from({ length: k }, (_, label) => looked(label)).flat()),
      [k, wide],
      "labels looked for",
    );
    const actual = embedding(rec, targets, table); // (N, K) of 0 and 1
    const p = softmax(rec, logits);
    const chance = k === 2 ? rec.reshape(p, [n, k]) : p;
    const of = k === 2 ? lastColumn(rec, chance) : chance;
    const decided = sigmoid(rec, scale(rec, addScalar(rec, of, -0.5), values.any_steepness));
    const down = (x: Tensor) => sumTo(rec, x, [1, wide]);
    const sums = { actual: down(actual), decided: down(decided), both: down(mul(rec, actual, decided)), rows: n };
    const metric = METRICS[values.any_metric]!(rec, sums, values.any_beta);
    return addScalar(rec, neg(rec, mean(rec, metric)), 1);
  },
});

const identity = (size: number, at: number): number[] => Array.from({ length: size }, (_, i) => (i === at ? 1 : 0));

/** (N, 2) -> (N, 1) */
function lastColumn(rec: Recorder, x: Tensor): Tensor {
  const pick = rec.constant(Float32Array.of(0, 1), [1, 2], "second column");
  return sumTo(rec, mul(rec, x, pick), [x.shape[0]!, 1]);
}
