/**
 * Attention by matrix products over scores that exist as a matrix: four times as fast as the tiled form on a software driver, whose
 * products are its best kernels, and bounded by what short sequences need. Scores are made anew on the way back.
 */
import { type ProductShape, planProduct } from "../products.ts";
import type { Recorder, StepParam } from "../recorder.ts";
import type { Tensor } from "../tensor.ts";
import type { AttentionOptions } from "./attention.ts";
import { rowGroups } from "./reduce.ts";

const BUDGET = 64 * 2 ** 20; // bytes of scores

/** Whether this form is the one to take: on a software driver, while two matrices of scores stay small. */
export const suitsMatrix = ({ profile }: Recorder, batch: number, heads: number, t: number): boolean =>
  profile.software && 4 * batch * heads * t * t <= BUDGET;

/** As `attention`, whose checks come first. `t` is the number of tokens of a row. */
export function attentionByMatrix(
  rec: Recorder,
  q: Tensor,
  k: Tensor,
  v: Tensor,
  t: number,
  options: AttentionOptions,
): Tensor {
  const { batch, heads, kvHeads, headDim: d, causal, segments, window = 0, scale = 1 / Math.sqrt(d) } = options;
  const group = heads / kvHeads;
  const [width, kvWidth, area] = [heads * d, kvHeads * d, t * t];

  /**
   * Appends a product for every head: `shape` gives what is the same for all, operands where each begins and how far heads are apart.
   * Query heads that share a key head are one batch where only they are written, and follow each other where they add to one place.
   */
  const each = (
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
  const queries = (tensor: Tensor): Operand => ({ tensor, rows: t * width, step: d, kv: false });
  const keys = (tensor: Tensor): Operand => ({ tensor, rows: t * kvWidth, step: d, kv: true });
  const scores = (tensor: Tensor): Operand => ({ tensor, rows: heads * area, step: area, kv: false });

  const rows = batch * heads * t;
  const probabilities = (lse: Tensor, again: boolean): Tensor => {
    const s = rec.scratch([batch, heads, t, t], "scores of attention");
    each({ form: "nt", m: t, n: t, k: d, lda: width, ldb: kvWidth, ldc: t, scale }, [queries(q), keys(k), scores(s)]);
    rec.step({
      kernel: "attention/softmax",
      flags: [...(segments ? ["segments"] : []), ...(again ? ["again"] : [])],
      bind: { ...(segments ? { segments } : {}), s, lse },
      params: { rows, t, heads, causal: causal ? 1 : 0, window },
      groups: rowGroups(Math.ceil(rows / 64)),
    });
    return s;
  };

  const y = rec.result(q.shape, [q, k, v], "attention");
  const lse = rec.scratch([batch, heads, t], "log sums of attention");
  const p = probabilities(lse, false);
  each({ form: "nn", m: t, n: d, k: t, lda: t, ldb: kvWidth, ldc: width }, [scores(p), keys(v), queries(y)]);
  rec.onBackward(y, (dy) => {
    const again = probabilities(lse, true);
    const ofKeys = { form: "tn", m: t, n: d, k: t, lda: t, ldb: width, ldc: kvWidth } as const;
    if (v.needsGrad) {
      const { into, accumulate } = rec.gradient(v);
      each(ofKeys, [scores(again), queries(dy), keys(into)], accumulate);
    }
    if (!q.needsGrad && !k.needsGrad) return;
    const ds = rec.scratch([batch, heads, t, t], "gradient of scores");
    each({ form: "nt", m: t, n: t, k: d, lda: width, ldb: kvWidth, ldc: t }, [queries(dy), keys(v), scores(ds)]);
    rec.step({
      kernel: "attention/softmax-gradient",
      bind: { p: again, dp: ds },
      params: { rows, t },
      groups: rowGroups(Math.ceil(rows / 64)),
    });
    if (q.needsGrad) {
      const { into, accumulate } = rec.gradient(q);
      each(
        { form: "nn", m: t, n: d, k: t, lda: t, ldb: kvWidth, ldc: width, scale },
        [scores(ds), keys(k), queries(into)],
        accumulate,
      );
    }
    if (k.needsGrad) {
      const { into, accumulate } = rec.gradient(k);
      each({ ...ofKeys, scale }, [scores(ds), queries(q), keys(into)], accumulate);
    }
  });
  return y;
}

/** A tensor whose rows of the batch are `rows` values apart, and whose heads are `step`; `kv`: one for each key head. */
interface Operand {
  readonly tensor: Tensor;
  readonly rows: number;
  readonly step: number;
  readonly kv: boolean;
}
