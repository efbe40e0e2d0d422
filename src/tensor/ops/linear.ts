/**
 * Linear layers: Y = X W^T + b over rows of X, with weights as Hugging Face stores them, (out, in), or transposed as
 * GPT-2's.
 *
 * Kernels: wgsl/matmul, chosen per adapter and shape by products.ts. Back: dX = dY W, dW = dY^T X, db = column sums of
 * dY.
 */

import { type Form, type ProductShape, planProduct } from "../linear-algebra/products.ts";
import type { Recorder, StepParam } from "../recorder.ts";
import { rowParts } from "../stretches.ts";
import { type ElementType, expectShape, rowsOf, showShape, type Tensor } from "../tensor.ts";
import { joinColumns, splitColumns } from "./columns.ts";
import { add as plus } from "./elementwise.ts";
import { columnSums } from "./reduce.ts";

export interface LinearOptions {
  /** (out), f32. */
  readonly bias?: Tensor;
  /** Added to the result: a residual of the result's shape. */
  readonly add?: Tensor;
  /** Multiplies the product, not the bias and not what is added; 1 when left out. */
  readonly scale?: number;
  /** The weight is (in, out). */
  readonly transposed?: boolean;
}

interface ProductOf {
  readonly form: Form;
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly a: Tensor;
  readonly b: Tensor;
  readonly c: Tensor;
  readonly accumulate?: StepParam;
  readonly bias?: Tensor | undefined;
  readonly add?: Tensor | undefined;
  readonly scale?: number;
}

/** Memory beside a weight of codes, which products bind with it; undefined where it has none. */
export function tableOf(rec: Recorder, { storage, label }: Tensor): Tensor | undefined {
  const buffer = storage.codes?.table;
  return buffer && rec.state(`table of ${label}`, [buffer.size / 4], buffer, "u32");
}

/** Whether the rows of its codes are columns of the tensor. */
export const isTurned = ({ storage }: Tensor): boolean => storage.codes?.packing.transposed === true;

const isFloat = (dtype: ElementType): dtype is "f32" | "bf16" => dtype === "f32" || dtype === "bf16";

/** Appends C = scale op(A) op(B) + bias + add, or adds it to C. Shapes are the caller's to get right. */
export function product(
  rec: Recorder,
  { form, m, n, k, a, b, c, accumulate = 0, bias, add, scale = 1 }: ProductOf,
): void {
  const codes = b.storage.codes?.packing;
  if (!isFloat(a.dtype) || (!codes && !isFloat(b.dtype)))
    throw new TypeError(`${b.label}: products are of f32 or bf16, not ${isFloat(a.dtype) ? b.dtype : a.dtype}`);
  const bDtype = isFloat(b.dtype) ? b.dtype : "f32";
  const shape: ProductShape = { form, m, n, k, aDtype: a.dtype, bDtype, codes, bias: !!bias, add: !!add, scale };
  const { params, ...step } = planProduct(shape, rec.profile);
  const table = tableOf(rec, b);
  const bind = { a, b, c, ...(bias ? { bias } : {}), ...(add ? { addend: add } : {}), ...(table ? { table } : {}) };
  rec.step({ ...step, bind, params: { ...params, accumulate } });
}

/**
 * (..., in) and (out, in) -> (..., out), f32. The weight may be stored in bf16 or, where nothing trains it, as codes; a
 * trained one is f32 or bf16 alike, its gradient f32. Throws RangeError when shapes do not fit.
 */
export function linear(rec: Recorder, x: Tensor, weight: Tensor, options: LinearOptions = {}): Tensor {
  const { bias, add, scale = 1, transposed = false } = options;
  const { rows: m, width: k } = rowsOf(x);
  const parts = rowParts(rec, weight);
  if (parts.length > 1) return linearInParts(rec, x, parts, options);
  const [n = 0, depth = 0] = transposed ? [weight.shape[1], weight.shape[0]] : weight.shape;
  if (depth !== k || weight.shape.length !== 2)
    throw new RangeError(
      `${weight.label} ${showShape(weight.shape)} does not apply to ${x.label} ${showShape(x.shape)}`,
    );
  const shape = [...x.shape.slice(0, -1), n];
  if (bias) expectShape(bias, [n], weight.label);
  if (add) expectShape(add, shape, weight.label);
  const from = [x, weight, ...(bias ? [bias] : []), ...(add ? [add] : [])];
  const y = rec.result(shape, from, weight.label);
  // Codes may lie as the transpose of what the tensor is.
  const [forward, back] = transposed !== isTurned(weight) ? (["nn", "nt"] as const) : (["nt", "nn"] as const);
  product(rec, { form: forward, m, n, k, a: x, b: weight, c: y, bias, add, scale });
  rec.onBackward(y, (dy) => {
    if (add) rec.addGradient(add, dy);
    if (bias?.needsGrad) columnSums(rec, dy, rec.gradient(bias));
    if (weight.needsGrad) {
      const { into, accumulate } = rec.gradient(weight);
      const [a, b, rows, columns] = transposed ? [x, dy, k, n] : [dy, x, n, k];
      product(rec, { form: "tn", m: rows, n: columns, k: m, a, b, c: into, accumulate, scale });
    }
    if (x.needsGrad) {
      const { into, accumulate } = rec.gradient(x);
      product(rec, { form: back, m, n: k, k: n, a: dy, b: weight, c: into, accumulate, scale });
    }
  });
  return y;
}

/** The same with a weight that is bound some rows at a time: outputs side by side, or inputs summed. */
function linearInParts(rec: Recorder, x: Tensor, parts: readonly Tensor[], options: LinearOptions): Tensor {
  const { bias, add, transposed, ...rest } = options;
  const finished = (y: Tensor) => {
    const biased = bias ? plus(rec, y, bias) : y;
    return add ? plus(rec, biased, add) : biased;
  };
  if (!transposed) {
    const flat = rec.reshape(x, [rowsOf(x).rows, rowsOf(x).width]);
    const joined = joinColumns(
      rec,
      parts.map((part) => linear(rec, flat, part, rest)),
    );
    return finished(rec.reshape(joined, [...x.shape.slice(0, -1), rowsOf(joined).width]));
  }
  const columns = splitColumns(
    rec,
    x,
    parts.map(({ shape }) => shape[0]!),
  );
  const [first, ...others] = parts.map((part, i) => ({ part, x: columns[i]! }));
  const start = linear(rec, first!.x, first!.part, { ...rest, transposed });
  const sum = others.reduce((y, { part, x }) => linear(rec, x, part, { ...rest, transposed, add: y }), start);
  return finished(rec.reshape(sum, [...x.shape.slice(0, -1), rowsOf(sum).width]));
}
