/**
 * Attention by matrix products over scores that exist as a matrix: four times as fast as the tiled form on a software
 * driver, whose products are its best kernels, and bounded by what short sequences need. Scores are computed again on
 * the way back.
 */
import { foldGroups, spanGroups } from "../../gpu/grid.ts";
import { type ProductShape, planProduct } from "../linear-algebra/products.ts";
import type { Recorder, StepParam } from "../recorder.ts";
import type { Tensor } from "../tensor.ts";
import { type AttentionOptions, sinkGradient } from "./attention-options.ts";

const BUDGET = 64 * 2 ** 20; // bytes of scores

/** Whether this form is the one to take: on a software driver, while two matrices of scores stay small. */
export const suitsMatrix = ({ profile }: Recorder, batch: number, heads: number, t: number): boolean =>
  profile.software && 4 * batch * heads * t * t <= BUDGET;

/**
 * A tensor whose rows of the batch are `rows` values apart, and whose heads are `step`; `kv`: one for each key head.
 */
interface Operand {
  readonly tensor: Tensor;
  readonly rows: number;
  readonly step: number;
  readonly kv: boolean;
}

/**
 * Appends a product for every head: `shape` gives what is the same for all, operands where each begins and how far
 * heads are apart. Query heads that share a key head are one batch where only they are written, and follow each
 * other where they add to one place.
 */
function productsOfHeads(rec: Recorder, { batch, heads, kvHeads }: AttentionOptions) {
  const group = heads / kvHeads;
  return (
    shape: Pick<ProductShape, "form" | "m" | "n" | "k" | "lda" | "ldb" | "ldc" | "scale">,
    [a, b, c]: readonly [Operand, Operand, Operand],
    accumulate: StepParam = 0,
  ) => {
    const append = (row: number, head: number, count: number, adding: StepParam) => {
      const start = ({ rows, step, kv }: Operand) => row * rows + (kv ? Math.floor(head / group) : head) * step;
      const stride = ({ step, kv }: Operand) => (kv && group > 1 ? 0 : step);
      const { params, ...planned } = planProduct(
        {
          ...shape,
          batch: count,
          startA: start(a),
          startB: start(b),
          startC: start(c),
          strideA: stride(a),
          strideB: stride(b),
          strideC: stride(c),
        },
        rec.profile,
      );
      rec.step({
        ...planned,
        bind: { a: a.tensor, b: b.tensor, c: c.tensor },
        params: { ...params, accumulate: adding },
      });
    };
    for (let row = 0; row < batch; row++) {
      if (group === 1) append(row, 0, heads, accumulate);
      else if (!c.kv) for (let head = 0; head < heads; head += group) append(row, head, group, accumulate);
      else for (let head = 0; head < heads; head++) append(row, head, 1, head % group === 0 ? accumulate : 1);
    }
  };
}

/** The steps of attention over rows of `t` tokens, with matrices of every head (B, H, T, T). */
export function matrixSteps(rec: Recorder, t: number, options: AttentionOptions) {
  const { batch, heads, kvHeads, headDim: d, causal, segments, window = 0, cap, sinks } = options;
  const { scale = 1 / Math.sqrt(d) } = options;
  const [width, kvWidth, area] = [heads * d, kvHeads * d, t * t];
  const rows = batch * heads * t;

  const each = productsOfHeads(rec, options);
  const queries = (tensor: Tensor): Operand => ({ tensor, rows: t * width, step: d, kv: false });
  const keys = (tensor: Tensor): Operand => ({ tensor, rows: t * kvWidth, step: d, kv: true });
  const scores = (tensor: Tensor): Operand => ({ tensor, rows: heads * area, step: area, kv: false });

  const toKeys = { form: "tn", m: t, n: d, k: t, lda: t, ldb: width, ldc: kvWidth } as const;

  return {
    /**
     * Scores of q and k into `p`, and there their probabilities; with `again` by the log sums that the first time
     * left in `lse`.
     */
    probabilities(q: Tensor, k: Tensor, lse: Tensor, p: Tensor, { again = false } = {}): void {
      each({ form: "nt", m: t, n: t, k: d, lda: width, ldb: kvWidth, ldc: t, scale }, [queries(q), keys(k), scores(p)]);
      rec.step({
        kernel: "attention/softmax",
        flags: [
          ...(segments ? ["segments"] : []),
          ...(again ? ["again"] : sinks ? ["sinks"] : []),
          ...(cap ? ["capped"] : []),
        ],
        bind: { ...(segments ? { segments } : {}), ...(sinks && !again ? { sinks } : {}), s: p, lse },
        params: { rows, t, heads, causal: causal ? 1 : 0, window, cap: cap ?? 0 },
        groups: foldGroups(Math.ceil(rows / 64)),
      });
    },
    /** y = p v */
    mix(p: Tensor, v: Tensor, y: Tensor): void {
      each({ form: "nn", m: t, n: d, k: t, lda: t, ldb: kvWidth, ldc: width }, [scores(p), keys(v), queries(y)]);
    },
    /** dp = dy v^T */
    unmix(dy: Tensor, v: Tensor, dp: Tensor): void {
      each({ form: "nt", m: t, n: t, k: d, lda: width, ldb: kvWidth, ldc: t }, [queries(dy), keys(v), scores(dp)]);
    },
    /** The gradient of v, if it needs one. */
    valueGradient(p: Tensor, dy: Tensor, v: Tensor): void {
      if (!v.needsGrad) return;
      const { into, accumulate } = rec.gradient(v);
      each(toKeys, [scores(p), queries(dy), keys(into)], accumulate);
    },
    /**
     * The gradients of q and k from that of the scores, which a soft cap changes in place. `p` and `lse` are as
     * `probabilities` left them.
     */
    scoreGradients(ds: Tensor, q: Tensor, k: Tensor, { p, lse }: { readonly p: Tensor; readonly lse: Tensor }): void {
      if (cap) {
        const count = rows * t;
        const params = { count, t, cap };
        rec.step({ kernel: "attention/uncap", bind: { p, lse, d: ds }, params, groups: spanGroups(count) });
      }
      if (q.needsGrad) {
        const { into, accumulate } = rec.gradient(q);
        const shape = { form: "nn", m: t, n: d, k: t, lda: t, ldb: kvWidth, ldc: width, scale } as const;
        each(shape, [scores(ds), keys(k), queries(into)], accumulate);
      }
      if (k.needsGrad) {
        const { into, accumulate } = rec.gradient(k);
        each({ ...toKeys, scale }, [scores(ds), queries(q), keys(into)], accumulate);
      }
    },
  };
}

/** As `attention`, whose checks come first. `t` is the number of tokens of a row. */
export function attentionByMatrix(
  rec: Recorder,
  q: Tensor,
  k: Tensor,
  v: Tensor,
  t: number,
  options: AttentionOptions,
): Tensor {
  const { batch, heads, sinks } = options;
  const steps = matrixSteps(rec, t, options);
  const matrix = (label: string) => rec.scratch([batch, heads, t, t], label);
  const y = rec.result(q.shape, [q, k, v, ...(sinks ? [sinks] : [])], "attention");
  const lse = rec.scratch([batch, heads, t], "log sums of attention");
  const p = matrix("scores of attention");
  steps.probabilities(q, k, lse, p);
  steps.mix(p, v, y);
  rec.onBackward(y, (dy) => {
    const again = matrix("scores of attention");
    steps.probabilities(q, k, lse, again, { again: true });
    steps.valueGradient(again, dy, v);
    const ofSinks = sinks?.needsGrad ? sinks : undefined;
    if (!q.needsGrad && !k.needsGrad && !ofSinks) return;
    const ds = matrix("gradient of scores");
    steps.unmix(dy, v, ds);
    const rows = batch * heads * t;
    const delta = ofSinks && rec.scratch([batch, heads, t], "inner products of attention");
    rec.step({
      kernel: "attention/softmax-gradient",
      flags: delta ? ["sums"] : [],
      bind: { p: again, dp: ds, ...(delta ? { delta } : {}) },
      params: { rows, t },
      groups: foldGroups(Math.ceil(rows / 64)),
    });
    if (ofSinks && delta) sinkGradient(rec, ofSinks, { lse, delta });
    steps.scoreGradients(ds, q, k, { p: again, lse });
  });
  return y;
}
