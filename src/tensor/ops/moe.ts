/**
 * The experts of a sparse mixture: rows sorted by expert, one product per expert, and the weighted sum. Slots are those
 * of router.ts. Shazeer et al. 2017, https://arxiv.org/abs/1701.06538
 */
import { spanGroups } from "../../gpu/grid.ts";
import { type Form, type GroupedShape, planGroupedProduct } from "../linear-algebra/products.ts";
import { weightPages } from "../paging/page-tensors.ts";
import type { Recorder, StepParam, Target } from "../recorder.ts";
import { rowParts } from "../stretches.ts";
import { expectShape, rowsOf, type Tensor } from "../tensor.ts";
import { isTurned, tableOf } from "./linear.ts";
import { rowWork } from "./reduce.ts";
import type { RoutePlan } from "./router.ts";

/** How values of rows of c are read: by fours where c allows it. */
const unitsOf = (c: number): { readonly flags: string[]; readonly unit: number } =>
  c % 4 === 0 ? { flags: [], unit: 4 } : { flags: ["ragged"], unit: 1 };

/** Rows of tokens by place, times the weights of their slots. */
function gather(
  rec: Recorder,
  x: Tensor,
  { slots, tokens, k }: Pick<RoutePlan, "slots" | "tokens" | "k">,
  { into, accumulate }: Target,
  weights?: Tensor,
): void {
  const c = into.shape[1]!;
  const { flags, unit } = unitsOf(c);
  const count = (tokens * k * c) / unit;
  rec.step({
    kernel: "moe/gather",
    flags: [...flags, ...(weights ? ["weighted"] : [])],
    bind: { x, slots, ...(weights ? { weights } : {}), y: into },
    params: { count, c: c / unit, k, accumulate },
    groups: spanGroups(count),
  });
}

/** Sums of each token's rows, times the weights of their slots. */
function gatherSum(
  rec: Recorder,
  ys: Tensor,
  { places, tokens, k }: Pick<RoutePlan, "places" | "tokens" | "k">,
  { into, accumulate }: Target,
  { weights, add }: { readonly weights?: Tensor; readonly add?: Tensor | undefined } = {},
): void {
  const c = into.shape[1]!;
  const { flags, unit } = unitsOf(c);
  const count = (tokens * c) / unit;
  rec.step({
    kernel: "moe/combine",
    flags: [...flags, ...(weights ? ["weighted"] : []), ...(add ? ["add"] : [])],
    bind: { ys, places, ...(weights ? { weights } : {}), ...(add ? { addend: add } : {}), y: into },
    params: { count, c: c / unit, k, accumulate },
    groups: spanGroups(count),
  });
}

/** Rows of tokens (N, C) -> a row for every slot (N * k, C), sorted by expert. */
export function dispatch(rec: Recorder, x: Tensor, plan: Pick<RoutePlan, "slots" | "places" | "tokens" | "k">): Tensor {
  const c = x.shape[1] ?? 0;
  expectShape(x, [plan.tokens, c], "dispatch");
  const y = rec.result([plan.tokens * plan.k, c], [x], `${x.label} by expert`);
  gather(rec, x, plan, { into: y, accumulate: 0 });
  rec.onBackward(y, (dy) => gatherSum(rec, dy, plan, rec.gradient(x)));
  return y;
}

/** Rows sorted by expert, one for each token (N, C), in the order of the tokens again. */
export function collect(rec: Recorder, ys: Tensor, plan: Pick<RoutePlan, "slots" | "places" | "tokens" | "k">): Tensor {
  const c = ys.shape[1] ?? 0;
  if (plan.k !== 1) throw new RangeError(`a token has ${plan.k} rows, which combine weighs`);
  expectShape(ys, [plan.tokens, c], "collect");
  const y = rec.result(ys.shape, [ys], `${ys.label} by token`);
  gatherSum(rec, ys, plan, { into: y, accumulate: 0 });
  rec.onBackward(y, (dy) => gather(rec, dy, plan, rec.gradient(ys)));
  return y;
}

/**
 * Every row times the matrix of its expert: (N * k, in) sorted by expert and (E, out, in), or (E, in, out) where they
 * are `transposed`, in f32, bf16 or codes -> (N * k, out). The gradient of an expert without rows is 0. Experts that
 * one binding does not hold are taken some at a time, and those that lie in pages one by one.
 */
export function groupedLinear(
  rec: Recorder,
  x: Tensor,
  weights: Tensor,
  plan: Pick<RoutePlan, "tokens" | "k" | "experts" | "offsets">,
  { transposed = false }: { readonly transposed?: boolean } = {},
): Tensor {
  const [, first = 0, second = 0] = weights.shape;
  const [n, k] = transposed ? [second, first] : [first, second];
  const rows = plan.tokens * plan.k;
  expectShape(weights, [plan.experts, first, second], "grouped linear layer");
  expectShape(x, [rows, k], weights.label);
  const codes = weights.storage.codes?.packing;
  const { dtype } = weights;
  if (!codes && dtype !== "f32" && dtype !== "bf16") throw new TypeError(`${weights.label}: experts are f32 or bf16`);
  const bDtype = dtype === "bf16" ? ("bf16" as const) : ("f32" as const);
  const table = tableOf(rec, weights);
  const y = rec.result([rows, n], [x, weights], weights.label);
  const parts = expertParts(rec, weights);
  const append = (
    form: Form,
    own: Experts,
    { columns, depth = 0 }: { columns: number; depth?: number },
    bind: Bound,
  ) => {
    const tn = form === "tn";
    const sizes = {
      m: tn ? first : rows,
      n: columns,
      k: tn ? rows : depth,
      rows,
      ...(tn ? { bDtype: "f32" as const } : { bDtype, codes }),
    };
    const some = { experts: own.weights.shape[0]!, firstExpert: own.first, ofExperts: plan.experts };
    const shape: GroupedShape = { form, ...sizes, ...some };
    const { params, ...step } = planGroupedProduct(shape, rec.profile);
    const { accumulate, ...tensors } = bind;
    const guard = own.isPage ? { rows: { offsets: plan.offsets, expert: own.first } } : {};
    const beside = { offsets: plan.offsets, ...(table && !tn ? { table } : {}) };
    rec.step({ ...step, bind: { ...tensors, ...beside }, params: { ...params, accumulate }, ...guard });
  };
  const [forward, back] = transposed !== isTurned(weights) ? (["nn", "nt"] as const) : (["nt", "nn"] as const);
  for (const own of parts)
    append(forward, own, { columns: n, depth: k }, { a: x, b: own.weights, c: y, accumulate: 0 });
  rec.onBackward(y, (dy) => {
    if (weights.needsGrad) {
      for (const own of parts) {
        const { into, accumulate } = rec.gradient(own.weights);
        const [a, b] = transposed ? [x, dy] : [dy, x];
        append("tn", own, { columns: second }, { a, b, c: into, accumulate });
      }
    }
    if (x.needsGrad) {
      const { into, accumulate } = rec.gradient(x);
      for (const own of parts)
        append(back, own, { columns: k, depth: n }, { a: dy, b: own.weights, c: into, accumulate });
    }
  });
  return y;
}

/**
 * Sums over the rows of each expert: `weights` (N * k, 1) times x (N * k, C), both sorted by expert -> (E, C), into
 * `target` where there is one. 0 for an expert without rows. Without a way back.
 */
export function expertSums(
  rec: Recorder,
  weights: Tensor,
  x: Tensor,
  { experts, offsets }: RoutePlan,
  target?: Target,
): Tensor {
  const { rows, width } = rowsOf(x);
  expectShape(weights, [rows, 1], "weights of rows");
  const sums = target?.into ?? rec.scratch([experts, width], `sums of ${x.label}`);
  const sizes = { m: 1, n: width, k: rows, rows, bDtype: "f32" as const };
  const { params, ...step } = planGroupedProduct({ form: "tn", ...sizes, experts, firstExpert: 0 }, rec.profile);
  rec.step({
    ...step,
    bind: { a: weights, b: x, c: sums, offsets },
    params: { ...params, accumulate: target?.accumulate ?? 0 },
  });
  return sums;
}

/** Rows sorted by expert (N * k, C), each with its expert's bias (E, C) -> (N * k, C). */
export function expertBias(
  rec: Recorder,
  x: Tensor,
  bias: Tensor,
  { experts: e, offsets }: Pick<RoutePlan, "experts" | "offsets">,
): Tensor {
  const { rows, width: c } = rowsOf(x);
  expectShape(bias, [e, c], "biases of experts");
  const y = rec.result(x.shape, [x, bias], bias.label);
  const groups = spanGroups(rows * c);
  rec.step({ kernel: "moe/expert-bias", bind: { x, bias, offsets, y }, params: { count: rows * c, c, e }, groups });
  rec.onBackward(y, (dy) => {
    rec.addGradient(x, dy);
    if (!bias.needsGrad) return;
    const { into, accumulate } = rec.gradient(bias);
    rec.step({
      kernel: "moe/expert-bias-gradient",
      bind: { dy, offsets, d_bias: into },
      params: { count: e * c, c, accumulate },
      groups: spanGroups(e * c),
    });
  });
  return y;
}

interface Bound {
  readonly a: Tensor;
  readonly b: Tensor;
  readonly c: Tensor;
  readonly accumulate: StepParam;
}

/** Matrices (E', out, in) of experts that follow one another, and which is the first. */
interface Experts {
  readonly weights: Tensor;
  readonly first: number;
  /** Whether it is one expert in a page of its own. */
  readonly isPage: boolean;
}

/** All experts, or some at a time where they lie in pages or the adapter does not bind all of them. */
function expertParts(rec: Recorder, weights: Tensor): Experts[] {
  let first = 0;
  const pages = weightPages(rec, weights);
  return (pages ?? rowParts(rec, weights)).map((part) => {
    const own = { weights: part, first, isPage: pages !== undefined };
    first += part.shape[0]!;
    return own;
  });
}

/** Rows sorted by expert (N * k, C) and weights (N, k) -> (N, C): each token's weighted sum, plus `add` (N, C). */
export function combine(
  rec: Recorder,
  ys: Tensor,
  weights: Tensor,
  plan: RoutePlan,
  { add }: { readonly add?: Tensor } = {},
): Tensor {
  const { tokens, k, places } = plan;
  const c = ys.shape[1] ?? 0;
  expectShape(ys, [tokens * k, c], "combine");
  expectShape(weights, [tokens, k], "combine");
  if (add) expectShape(add, [tokens, c], "combine");
  const y = rec.result([tokens, c], [ys, weights, ...(add ? [add] : [])], "combined experts");
  gatherSum(rec, ys, plan, { into: y, accumulate: 0 }, { weights, add });
  rec.onBackward(y, (dy) => {
    if (add) rec.addGradient(add, dy);
    if (weights.needsGrad) {
      const { into, accumulate } = rec.gradient(weights);
      rec.step({
        kernel: "moe/weight-gradient",
        bind: { dy, ys, places, dw: into },
        params: { s: tokens * k, c, k, accumulate },
        ...rowWork(rec, tokens * k, c),
      });
    }
    if (ys.needsGrad) gather(rec, dy, plan, rec.gradient(ys), weights);
  });
  return y;
}
