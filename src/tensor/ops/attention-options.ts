/** What all forms of attention are told. */
import type { Recorder } from "../recorder.ts";
import type { Tensor } from "../tensor.ts";

export interface AttentionOptions {
  readonly batch: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly causal: boolean;
  /** 1 / sqrt(headDim) when left out. */
  readonly scale?: number;
  /** Scores become cap tanh(score / cap). */
  readonly cap?: number;
  /** (B, T) i32: a query sees its own document; 0 is padding, which sees nothing and gives zeros. */
  readonly segments?: Tensor;
  /** A query sees so many of the last keys. */
  readonly window?: number;
  /** (H): one more score of every query of a head, whose share goes to no value. https://arxiv.org/abs/2309.17453 */
  readonly sinks?: Tensor;
}

/**
 * Flags that size a head's registers: how many values are held, whether they are read one by one, whether loops are
 * unrolled.
 */
export function headFlags({ profile }: Recorder, headDim: number): string[] {
  const held = [8, 16, 32, 64, 128, 256, 320, 384, 512].find((size) => size >= headDim);
  if (!held) throw new RangeError(`heads of ${headDim} values; 512 are the most`);
  const rolled = held >= 128 || (profile.software && held >= 64);
  return [
    ...(rolled ? ["rolled"] : []),
    ...(held === 8 ? [] : [`d${held}`]),
    ...(headDim % 4 !== 0 ? ["ragged"] : held === headDim ? [] : ["padded"]),
  ];
}

/** The step that gives sinks (H) their gradient, from the log sums and the inner products (B, H, T) of the queries. */
export function sinkGradient(
  rec: Recorder,
  sinks: Tensor,
  { lse, delta }: { readonly lse: Tensor; readonly delta: Tensor },
): void {
  const [batch, heads, t] = lse.shape as [number, number, number];
  const { into, accumulate } = rec.gradient(sinks);
  rec.step({
    kernel: "attention/sink-gradient",
    bind: { sinks, lse, delta, d: into },
    params: { batch, heads, t, accumulate },
    groups: [heads, 1, 1],
  });
}
