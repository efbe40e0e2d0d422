/** Element-wise arithmetic with NumPy's broadcasting, up to four dimensions, and functions of one tensor. */
import { spanGroups } from "../../gpu/grid.ts";
import type { Dynamic, Recorder, Target } from "../recorder.ts";
import { showShape, sizeOf, type Tensor } from "../tensor.ts";
import { columnSums } from "./reduce.ts";

type Binary = "add" | "sub" | "mul" | "div" | "maximum" | "minimum" | "ratio" | "first";

const fourDims = (shape: readonly number[]): number[] => {
  if (shape.length > 4) throw new RangeError(`${showShape(shape)} has more than four dimensions`);
  return [...Array<number>(4 - shape.length).fill(1), ...shape];
};

function broadcast(a: Tensor, b: Tensor): number[] {
  const [p, q] = [fourDims(a.shape), fourDims(b.shape)];
  const shape = p.map((n, i) => {
    if (n !== q[i] && n !== 1 && q[i] !== 1)
      throw new RangeError(`${a.label} ${showShape(a.shape)} and ${b.label} ${showShape(b.shape)} do not broadcast`);
    return n === 1 ? q[i]! : n;
  });
  return shape.slice(4 - Math.max(a.shape.length, b.shape.length));
}

/** Strides of a tensor as it is repeated to four dimensions. */
function strides(x: Tensor): number[] {
  const shape = fourDims(x.shape);
  let stride = 1;
  const found = shape.map(() => 0);
  for (let i = 3; i >= 0; i--) {
    found[i] = shape[i] === 1 ? 0 : stride;
    stride *= shape[i]!;
  }
  return found;
}

function compute(
  rec: Recorder,
  op: Binary,
  a: Tensor,
  b: Tensor,
  { into, accumulate }: Target,
  more: { by?: Tensor; scale?: number } = {},
): void {
  const [, d1, d2, d3] = fourDims(into.shape);
  const [[a0, a1, a2, a3], [b0, b1, b2, b3]] = [strides(a), strides(b)];
  const count = sizeOf(into.shape);
  rec.step({
    kernel: "elementwise/binary",
    flags: [op, ...(more.by ? ["by"] : [])],
    bind: { a, b, ...(more.by ? { by: more.by } : {}), y: into },
    params: {
      count,
      d1: d1!,
      d2: d2!,
      d3: d3!,
      a0: a0!,
      a1: a1!,
      a2: a2!,
      a3: a3!,
      b0: b0!,
      b1: b1!,
      b2: b2!,
      b3: b3!,
      scale: more.scale ?? 1,
      accumulate,
    },
    groups: spanGroups(count),
  });
}

/** Hands `fill` the place of x's gradient, or of a larger tensor that is then summed to x's shape. */
function gradientThrough(rec: Recorder, x: Tensor, shape: readonly number[], fill: (target: Target) => void): void {
  if (!x.needsGrad) return;
  if (sizeOf(x.shape) === sizeOf(shape)) {
    fill(shaped(rec, rec.gradient(x), shape));
    return;
  }
  const full = rec.scratch(shape, `gradient of ${x.label}, repeated`);
  fill({ into: full, accumulate: 0 });
  const target = rec.gradient(x);
  const width = shape.at(-1) ?? 1;
  if (sizeOf(x.shape) === width && x.shape.at(-1) === width) {
    columnSums(rec, full, target);
    return;
  }
  sumInto(rec, full, target);
}

/** Sums x over the dimensions that are 1 in the target's shape. */
function sumInto(rec: Recorder, x: Tensor, { into, accumulate }: Target): void {
  const [d0, d1, d2, d3] = fourDims(x.shape);
  const [e0, e1, e2, e3] = fourDims(into.shape);
  const count = sizeOf(into.shape);
  rec.step({
    kernel: "elementwise/sum-to",
    bind: { x, y: into },
    params: {
      count,
      d0: d0!,
      d1: d1!,
      d2: d2!,
      d3: d3!,
      e0: e0!,
      e1: e1!,
      e2: e2!,
      e3: e3!,
      accumulate,
    },
    groups: spanGroups(count),
  });
}

const shaped = (rec: Recorder, { into, accumulate }: Target, shape: readonly number[]): Target => ({
  into: rec.reshape(into, shape),
  accumulate,
});

function binary(rec: Recorder, op: Binary, a: Tensor, b: Tensor): { y: Tensor; shape: number[] } {
  const shape = broadcast(a, b);
  const y = rec.result(shape, [a, b], `${a.label} ${op} ${b.label}`);
  compute(rec, op, a, b, { into: y, accumulate: 0 });
  return { y, shape };
}

const same = (x: Tensor, shape: readonly number[]): boolean => x.shape.join() === shape.join();

/** a + b */
export function add(rec: Recorder, a: Tensor, b: Tensor): Tensor {
  const { y, shape } = binary(rec, "add", a, b);
  rec.onBackward(y, (dy) => {
    for (const x of [a, b]) {
      if (same(x, shape)) rec.addGradient(x, dy);
      else gradientThrough(rec, x, shape, (target) => unaryGradient(rec, "affine", dy, dy, target, 0, 1));
    }
  });
  return y;
}

/** a - b */
export function sub(rec: Recorder, a: Tensor, b: Tensor): Tensor {
  const { y, shape } = binary(rec, "sub", a, b);
  rec.onBackward(y, (dy) => {
    if (same(a, shape)) rec.addGradient(a, dy);
    else gradientThrough(rec, a, shape, (target) => unaryGradient(rec, "affine", dy, dy, target, 0, 1));
    gradientThrough(rec, b, shape, (target) => unaryGradient(rec, "affine", dy, dy, target, 0, -1));
  });
  return y;
}

/** a * b */
export function mul(rec: Recorder, a: Tensor, b: Tensor): Tensor {
  const { y, shape } = binary(rec, "mul", a, b);
  rec.onBackward(y, (dy) => {
    gradientThrough(rec, a, shape, (target) => compute(rec, "mul", dy, b, target));
    gradientThrough(rec, b, shape, (target) => compute(rec, "mul", dy, a, target));
  });
  return y;
}

/** Appends a * b, of the target's shape, into it. */
export const mulInto = (rec: Recorder, a: Tensor, b: Tensor, target: Target): void => compute(rec, "mul", a, b, target);

/** a / b */
export function div(rec: Recorder, a: Tensor, b: Tensor): Tensor {
  const { y, shape } = binary(rec, "div", a, b);
  rec.onBackward(y, (dy) => {
    gradientThrough(rec, a, shape, (target) => compute(rec, "div", dy, b, target));
    gradientThrough(rec, b, shape, (target) => compute(rec, "ratio", a, b, target, { by: dy }));
  });
  return y;
}

/** Sums over the dimensions that are 1 in `shape` and longer in x. */
export function sumTo(rec: Recorder, x: Tensor, shape: readonly number[]): Tensor {
  const kept = fourDims(shape);
  if (fourDims(x.shape).some((n, i) => kept[i] !== n && kept[i] !== 1))
    throw new RangeError(`${x.label} ${showShape(x.shape)} does not sum to ${showShape(shape)}`);
  const y = rec.result(shape, [x], `sums of ${x.label}`);
  sumInto(rec, x, { into: y, accumulate: 0 });
  const one = rec.constant(Float32Array.of(1), [1], "one");
  rec.onBackward(y, (dy) => compute(rec, "mul", dy, one, rec.gradient(x)));
  return y;
}

function chosen(rec: Recorder, op: "maximum" | "minimum", a: Tensor, b: Tensor): Tensor {
  const { y, shape } = binary(rec, op, a, b);
  const [larger, smaller] = op === "maximum" ? [a, b] : [b, a];
  rec.onBackward(y, (dy) => {
    gradientThrough(rec, a, shape, (target) => compute(rec, "first", larger, smaller, target, { by: dy }));
    gradientThrough(rec, b, shape, (target) => compute(rec, "first", smaller, larger, target, { by: dy }));
  });
  return y;
}

/** The larger of two; equal values share the gradient. */
export const maximum = (rec: Recorder, a: Tensor, b: Tensor): Tensor => chosen(rec, "maximum", a, b);
/** The smaller of two; equal values share the gradient. */
export const minimum = (rec: Recorder, a: Tensor, b: Tensor): Tensor => chosen(rec, "minimum", a, b);

export type Unary =
  | "exp"
  | "log"
  | "sqrt"
  | "square"
  | "abs"
  | "sigmoid"
  | "log_sigmoid"
  | "tanh"
  | "relu"
  | "silu"
  | "gelu"
  | "gelu_tanh"
  | "quick_gelu"
  | "clamp"
  | "round"
  | "cos"
  | "affine"
  | "soft_cap";

function unaryGradient(
  rec: Recorder,
  op: Unary,
  x: Tensor,
  dy: Tensor,
  { into, accumulate }: Target,
  low: number | Dynamic,
  high: number | Dynamic,
): void {
  const count = sizeOf(into.shape);
  rec.step({
    kernel: "elementwise/unary",
    flags: [op, "gradient"],
    bind: { x, dy, y: into },
    params: { count, low, high, accumulate },
    groups: spanGroups(count),
  });
}

function unaryForward(rec: Recorder, op: Unary, x: Tensor, low: number | Dynamic, high: number | Dynamic): Tensor {
  const y = rec.result(x.shape, [x], `${op} of ${x.label}`);
  const count = sizeOf(x.shape);
  rec.step({
    kernel: "elementwise/unary",
    flags: [op],
    bind: { x, y },
    params: { count, low, high, accumulate: 0 },
    groups: spanGroups(count),
  });
  return y;
}

/** A function of every value; `low` and `high` are for clamp, affine and soft_cap. */
export function unary(
  rec: Recorder,
  op: Unary,
  x: Tensor,
  low: number | Dynamic = 0,
  high: number | Dynamic = 0,
): Tensor {
  const y = unaryForward(rec, op, x, low, high);
  rec.onBackward(y, (dy) => unaryGradient(rec, op, x, dy, rec.gradient(x), low, high));
  return y;
}

/** Known to a few parts in 1e7 of 1. */
export const cos = (rec: Recorder, x: Tensor): Tensor => unary(rec, "cos", x);
/** x times a number, which may change from run to run. */
export const scale = (rec: Recorder, x: Tensor, factor: number | Dynamic): Tensor => unary(rec, "affine", x, 0, factor);
/** x plus a number. */
export const addScalar = (rec: Recorder, x: Tensor, term: number | Dynamic): Tensor => unary(rec, "affine", x, term, 1);
export const neg = (rec: Recorder, x: Tensor): Tensor => scale(rec, x, -1);
export const exp = (rec: Recorder, x: Tensor): Tensor => unary(rec, "exp", x);
export const log = (rec: Recorder, x: Tensor): Tensor => unary(rec, "log", x);
export const sqrt = (rec: Recorder, x: Tensor): Tensor => unary(rec, "sqrt", x);
export const square = (rec: Recorder, x: Tensor): Tensor => unary(rec, "square", x);
export const abs = (rec: Recorder, x: Tensor): Tensor => unary(rec, "abs", x);
export const sigmoid = (rec: Recorder, x: Tensor): Tensor => unary(rec, "sigmoid", x);
export const logSigmoid = (rec: Recorder, x: Tensor): Tensor => unary(rec, "log_sigmoid", x);
export const tanh = (rec: Recorder, x: Tensor): Tensor => unary(rec, "tanh", x);
/** Values below `low` or above `high` become these; their gradient is 0. */
export const clamp = (rec: Recorder, x: Tensor, low: number, high: number): Tensor => unary(rec, "clamp", x, low, high);

/** Steep enough that every value but 0 is beyond 1. */
const STEEP = 1e30;
/** 1 where x is above 0, else 0; no gradient. */
export const isPositive = (rec: Recorder, x: Tensor): Tensor =>
  clamp(rec, scale(rec, stopGradient(rec, x), STEEP), 0, 1);

/** cap tanh(x / cap): values below `cap`, without a corner. */
export const softCap = (rec: Recorder, x: Tensor, cap: number): Tensor => unary(rec, "soft_cap", x, 0, cap);

/** The nearest whole number, halves to the even one. No gradient goes through it. */
export const round = (rec: Recorder, x: Tensor): Tensor => unary(rec, "round", x);

/** The same values, whose gradient is multiplied by s, which broadcasts to them. No gradient goes to s. */
export function scaleGradient(rec: Recorder, x: Tensor, s: Tensor): Tensor {
  if (broadcast(x, s).join() !== x.shape.join())
    throw new RangeError(`${s.label} ${showShape(s.shape)} does not broadcast to ${showShape(x.shape)}`);
  const y = unaryForward(rec, "affine", x, 0, 1);
  rec.onBackward(y, (dy) => compute(rec, "mul", dy, s, rec.gradient(x)));
  return y;
}

/** The same values, through which no gradient goes. */
export const stopGradient = (rec: Recorder, x: Tensor): Tensor => ({ ...rec.reshape(x, x.shape), needsGrad: false });
