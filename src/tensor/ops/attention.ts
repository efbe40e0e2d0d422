/**
 * Scaled dot-product attention, causal or full, with grouped key heads, packed documents and windows. Nothing of size
 * T x T is kept: the forward pass saves one number a query, and the way back computes the probabilities again.
 *
 * Dao 2023, https://arxiv.org/abs/2307.08691; grouped queries, https://arxiv.org/abs/2305.13245.
 */
import type { Recorder } from "../recorder.ts";
import { expectShape, rowsOf, showShape, type Tensor } from "../tensor.ts";
import { attentionByMatrix, suitsMatrix } from "./attention-matrix.ts";
import { type AttentionOptions, headFlags, sinkGradient } from "./attention-options.ts";

/** q (B * T, H * D), k and v (B * T, Hkv * D) -> (B * T, H * D). */
export function attention(rec: Recorder, q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions): Tensor {
  const { batch, heads, kvHeads, headDim: d, causal, segments, window = 0, scale = 1 / Math.sqrt(d), cap } = options;
  const { rows, width } = rowsOf(q);
  const t = rows / batch;
  if (width !== heads * d || heads % kvHeads !== 0 || !Number.isInteger(t))
    throw new RangeError(
      `attention: q ${showShape(q.shape)} for ${heads} heads of ${d}, ${kvHeads} key heads, batch ${batch}`,
    );
  for (const x of [k, v]) {
    if (rowsOf(x).rows !== rows || rowsOf(x).width !== kvHeads * d)
      throw new RangeError(
        `attention: ${x.label} ${showShape(x.shape)} for ${kvHeads} key heads of ${d} and ${rows} queries`,
      );
  }
  const { sinks } = options;
  if (sinks) expectShape(sinks, [heads], "attention sinks");
  if (suitsMatrix(rec, batch, heads, t)) return attentionByMatrix(rec, q, k, v, t, options);
  const flags = [...headFlags(rec, d), ...(segments ? ["segments"] : []), ...(cap ? ["capped"] : [])];
  const bound: Record<string, Tensor> = segments ? { segments } : {};
  const common = { t, heads, group: heads / kvHeads, d, causal: causal ? 1 : 0, window, scale, cap: cap ?? 0 };
  const blocks = Math.ceil(t / 64);
  const y = rec.result(q.shape, [q, k, v, ...(sinks ? [sinks] : [])], "attention");
  const lse = rec.scratch([batch, heads, t], "log sums of attention");
  rec.step({
    kernel: "attention/forward",
    flags: [...flags, ...(sinks ? ["sinks"] : [])],
    bind: { q, k, v, ...bound, y, lse, ...(sinks ? { sinks } : {}) },
    params: { ...common, keys: t },
    groups: [blocks, heads, batch],
  });
  rec.onBackward(y, (dy) => {
    const delta = rec.scratch([batch, heads, t], "inner products of attention");
    const place = (x: Tensor) =>
      x.needsGrad ? rec.gradient(x) : { into: rec.scratch(x.shape, "unused"), accumulate: 0 };
    const ofQ = place(q);
    rec.step({
      kernel: "attention/query-gradient",
      flags,
      bind: { q, y, dy, k, v, lse, ...bound, delta, dq: ofQ.into },
      params: { ...common, accumulate: ofQ.accumulate },
      groups: [blocks, heads, batch],
    });
    if (sinks?.needsGrad) sinkGradient(rec, sinks, { lse, delta });
    for (const [x, values] of [
      [k, false],
      [v, true],
    ] as const) {
      if (!x.needsGrad) continue;
      const { into, accumulate } = rec.gradient(x);
      rec.step({
        kernel: "attention/key-gradient",
        flags: [...flags, ...(values ? ["values"] : [])],
        bind: { q, dy, k, lse, ...(values ? {} : { v, delta }), ...bound, gradient: into },
        params: { ...common, accumulate },
        groups: [blocks, kvHeads, batch],
      });
    }
  });
  return y;
}
