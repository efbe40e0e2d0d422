/** Tensors that are larger than what an adapter binds, in parts. */
import type { Recorder } from "./recorder.ts";
import { sizeOf, type Tensor, tensorBytes, viewOf } from "./tensor.ts";

/** Some of the values of tensors that are worked on one by one. */
export interface Stretch {
  readonly index: number;
  /** First value. */
  readonly start: number;
  readonly count: number;
  /** The stretch of a tensor of as many values as all stretches have. */
  of(x: Tensor): Tensor;
}

/** Values that a stretch is a multiple of: those of one sum of wgsl/training/square-sums.wgsl. */
const UNIT = 16384;

/** Bytes that a part begins at a multiple of. */
const ALIGNED = 256;

const greatestCommonDivisor = (a: number, b: number): number => (b === 0 ? a : greatestCommonDivisor(b, a % b));

/** Most bytes that the adapter of a recording binds. */
const mostOf = ({ profile }: Recorder): number => profile.maxBinding ?? Number.POSITIVE_INFINITY;

/**
 * Stretches of `count` values that an adapter binds at once in f32, for steps that go value by value. One stretch, and
 * the tensor itself, unless all of it is larger.
 */
export function stretches(rec: Recorder, count: number): Stretch[] {
  const most = mostOf(rec);
  if (4 * count <= most) return [{ index: 0, start: 0, count, of: (x) => x }];
  const step = Math.max(1, Math.floor(most / 4 / UNIT)) * UNIT;
  return Array.from({ length: Math.ceil(count / step) }, (_, index) => {
    const start = index * step;
    const part = Math.min(step, count - start);
    return { index, start, count: part, of: (x) => viewOf(x, start, [part]) };
  });
}

/** Made once for all uses in a recording: uses of one part add up in its gradient. */
const known = new WeakMap<Recorder, Map<number, readonly Tensor[]>>();

/**
 * The rows of a weight (the first dimension) in parts that an adapter binds one at a time, and their gradients in f32;
 * the weight itself where all of it is smaller, or one row is larger. A part begins at a multiple of 256 bytes.
 */
export function rowParts(rec: Recorder, weight: Tensor): readonly Tensor[] {
  const [count = 0, ...rest] = weight.shape;
  const width = sizeOf(rest);
  const pair = tensorBytes(viewOf(weight, 0, [2, ...rest])); // of two rows: one in bf16 may end within a word
  const largest = weight.needsGrad ? 8 * width : pair;
  const unit = (2 * ALIGNED) / greatestCommonDivisor(2 * ALIGNED, pair);
  const rows = Math.floor((2 * mostOf(rec)) / largest / unit) * unit;
  const isWeight = weight.storage.buffer !== undefined;
  const isTurned = weight.storage.codes?.packing.transposed === true && weight.shape.length === 2;
  if (!isWeight || isTurned || (largest / 2) * count <= mostOf(rec) || rows === 0) return [weight];
  const made = known.get(rec) ?? new Map<number, readonly Tensor[]>();
  known.set(rec, made);
  let parts = made.get(weight.root);
  if (!parts) {
    parts = Array.from({ length: Math.ceil(count / rows) }, (_, i) =>
      rec.part(weight, i * rows * width, [Math.min(rows, count - i * rows), ...rest]),
    );
    made.set(weight.root, parts);
  }
  return parts;
}
