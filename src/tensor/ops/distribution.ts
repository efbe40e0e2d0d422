/** What losses ask of rows of logits besides a divergence. `trainedEntropy` and `withoutLabel` take a gradient. */
import { spanGroups } from "../../gpu/grid.ts";
import type { Recorder } from "../recorder.ts";
import { rowsOf, showShape, sizeOf, type Tensor } from "../tensor.ts";
import { rowWork } from "./reduce.ts";

/** Records the entropy of every row into `entropy`. */
function recordEntropy(rec: Recorder, logits: Tensor, entropy: Tensor, temperature: number): Tensor {
  const { rows: n, width: v } = rowsOf(logits);
  rec.step({
    kernel: "distribution/row-entropy",
    bind: { logits, entropy },
    params: { n, v, inverse: 1 / temperature },
    ...rowWork(rec, n, v),
  });
  return entropy;
}

/** Entropy of softmax(logits / temperature), nats: (N, V) -> (N). */
export const rowEntropy = (rec: Recorder, logits: Tensor, temperature = 1): Tensor =>
  recordEntropy(rec, logits, rec.scratch([rowsOf(logits).rows], "entropy"), temperature);

/** The same with a gradient to the logits, for losses that raise or lower it. */
export function trainedEntropy(rec: Recorder, logits: Tensor, temperature = 1): Tensor {
  const { rows: n, width: v } = rowsOf(logits);
  const entropy = recordEntropy(rec, logits, rec.result([n], [logits], "entropy"), temperature);
  rec.onBackward(entropy, (d_entropy) => {
    const { into, accumulate } = rec.gradient(logits);
    rec.step({
      kernel: "distribution/row-entropy-gradient",
      bind: { logits, entropy, d_entropy, dx: into },
      params: { n, v, inverse: 1 / temperature, accumulate },
      ...rowWork(rec, n, v),
    });
  });
  return entropy;
}

/**
 * Share of |p - q| in the head of the teacher's p, the likeliest tokens up to mass mu: (N, V) each -> (N).
 * arXiv:2404.02657
 */
export function headGap(rec: Recorder, student: Tensor, teacher: Tensor, mu: number, temperature = 1): Tensor {
  const { rows: n, width: v } = rowsOf(student);
  const weight = rec.scratch([n], "share of the head");
  rec.step({
    kernel: "distribution/head-gap",
    bind: { student, teacher, weight },
    params: { n, v, inverse: 1 / temperature, mu },
    ...rowWork(rec, n, v),
  });
  return weight;
}

/** Logits with the label's and the largest exchanged: (N, V), targets (N) i32 -> (N, V). arXiv:2407.10804 */
export function swapTop(rec: Recorder, logits: Tensor, targets: Tensor): Tensor {
  const { rows: n, width: v } = rowsOf(logits);
  if (sizeOf(targets.shape) !== n) throw new RangeError(`${n} rows of logits for ${showShape(targets.shape)} targets`);
  const y = rec.scratch([n, v], "logits with the label first");
  rec.step({ kernel: "distribution/swap-top", bind: { logits, targets, y }, params: { n, v }, ...rowWork(rec, n, v) });
  return y;
}

/** A logit that has no share in a softmax. */
const ABSENT = -1e30;

/**
 * Logits of all outputs but the label, whose own is very low: (N, V), targets (N) i32 -> (N, V). Rows with a negative
 * target are copied.
 */
export function withoutLabel(rec: Recorder, logits: Tensor, targets: Tensor): Tensor {
  const { rows: n, width: v } = rowsOf(logits);
  if (sizeOf(targets.shape) !== n) throw new RangeError(`${n} rows of logits for ${showShape(targets.shape)} targets`);
  const kernel = "distribution/without-label";
  const groups = spanGroups(n * v);
  const y = rec.result(logits.shape, [logits], "logits without the label's");
  const params = { count: n * v, v };
  rec.step({ kernel, bind: { x: logits, targets, y }, params: { ...params, label: ABSENT, accumulate: 0 }, groups });
  rec.onBackward(y, (dy) => {
    const { into, accumulate } = rec.gradient(logits);
    rec.step({ kernel, bind: { x: dy, targets, y: into }, params: { ...params, label: 0, accumulate }, groups });
  });
  return y;
}

/**
 * An output for every row, as likely as softmax(logits) says: (N, V), uniform numbers in [0, 1) (N) -> (N) i32. The
 * number u gives the first output up to which the probabilities sum to more than u.
 */
export function drawOutputs(rec: Recorder, logits: Tensor, uniforms: Tensor): Tensor {
  const { rows: n, width: v } = rowsOf(logits);
  const draws = rec.scratch([n], "drawn outputs", "i32");
  rec.step({
    kernel: "distribution/draw-outputs",
    bind: { logits, uniforms, draws },
    params: { n, v },
    ...rowWork(rec, n, v),
  });
  return draws;
}
