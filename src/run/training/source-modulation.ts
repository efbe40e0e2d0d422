/**
 * Gradients of several sources of an input, brought nearer to each other: what a source has of the logits (sources.ts)
 * takes its gradient times a factor that falls where the source does better against the others than it used to.
 *
 *   s_m = mean cross-entropy of phi_m   r_m = exp(2 (mean of s - s_m))   k_m = exp(alpha (r^_m - r_m))
 *
 * with r^ the same of the mean scores of the steps before; the first step has k = 1. Forward nothing changes. Scores
 * are those of a micro-batch. Everything stays on the GPU; the sums of scores are saved with the run.
 */
import type { Gpu } from "../../gpu/gpu.ts";
import { spanGroups } from "../../gpu/grid.ts";
import type { Inputs } from "../../model/architecture.ts";
import type { Model } from "../../model/model.ts";
import { joinColumns, splitColumns } from "../../tensor/ops/columns.ts";
import { crossEntropy } from "../../tensor/ops/cross-entropy.ts";
import {
  add,
  addScalar,
  clamp,
  div,
  exp,
  mul,
  neg,
  scale,
  scaleGradient,
  stopGradient,
  sub,
} from "../../tensor/ops/elementwise.ts";
import { dot, sum } from "../../tensor/ops/reduce.ts";
import { Parameter } from "../../tensor/parameter.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { keptSources, type Source, sourceShares } from "../tracing/sources.ts";
import type { UpdateRule } from "./update-rule.ts";

/** Bound of the exponent of k, whatever a score is. */
const STEEPEST = 10;

export class SourceModulation implements UpdateRule {
  readonly name = "agm";
  /** Sums of the sources' scores, and how many there are. */
  readonly kept: readonly [Parameter];
  readonly #sources: readonly Source[];
  readonly #alpha: number;

  constructor(gpu: Gpu, sources: readonly Source[], alpha: number) {
    this.#sources = sources;
    this.#alpha = alpha;
    const scores = new Parameter(gpu, "scores of sources", [sources.length + 1], "f32", false);
    scores.write(new Float32Array(sources.length + 1));
    this.kept = [scores];
  }

  get bytes(): number {
    return this.kept[0].bytes;
  }

  /**
   * The same logits (B, V), whose gradient is modulated on its way back, and numbers to report. `weights` (B) are those
   * of the rows in their mean.
   */
  record(
    rec: Recorder,
    model: Model,
    {
      inputs,
      logits,
      targets,
      weights,
    }: {
      readonly inputs: Inputs;
      readonly logits: Tensor;
      readonly targets: Tensor;
      readonly weights: Tensor;
    },
  ): { readonly logits: Tensor; readonly metrics: Readonly<Record<string, Tensor>> } {
    if ("ids" in inputs) throw new TypeError("sources are ranges of numbers, not of tokens");
    const { x } = inputs;
    const shares = sourceShares(rec, this.#sources.length, logits, (kept) => {
      const part = model.record(rec, { ...inputs, x: keptSources(rec, x, this.#sources, kept) });
      return part.head(part.hidden);
    });
    const counted = clamp(rec, sum(rec, weights), 1e-30, 3.4e38);
    const scores = shares.map((share) =>
      stopGradient(rec, div(rec, dot(rec, crossEntropy(rec, stopGradient(rec, share), targets), weights), counted)),
    );
    const factors = this.#factors(rec, scores);
    const whole = shares
      .map((share, m) => scaleGradient(rec, share, rec.reshape(factors[m]!, [1, 1])))
      .reduce((a, b) => add(rec, a, b));
    const told = (what: string, list: readonly Tensor[]) =>
      // Metrics are sums over micro-batches: each counts as much as its rows.
      this.#sources.map(({ name }, m) => [`${what}_${name}`, mul(rec, list[m]!, counted)] as const);
    return { logits: whole, metrics: Object.fromEntries([...told("score", scores), ...told("factor", factors)]) };
  }

  /** k of every source, (1) each; then the scores join their sums. */
  #factors(rec: Recorder, scores: readonly Tensor[]): Tensor[] {
    const m = scores.length;
    const [held] = this.kept;
    const state = rec.state(held.name, [1, m + 1], held.buffer);
    const known = splitColumns(rec, state, [...scores.map(() => 1), 1]).map((part) => rec.reshape(part, [1]));
    const count = known[m]!;
    const isKnown = clamp(rec, count, 0, 1);
    const before = scores.map((score, i) => {
      const mean = div(rec, known[i]!, clamp(rec, count, 1, 3.4e38));
      return add(rec, mul(rec, isKnown, mean), mul(rec, addScalar(rec, neg(rec, isKnown), 1), score));
    });
    const ratios = (list: readonly Tensor[]) => {
      const mean = scale(
        rec,
        list.reduce((a, b) => add(rec, a, b)),
        1 / m,
      );
      return list.map((score) => exp(rec, clamp(rec, scale(rec, sub(rec, mean, score), 2), -STEEPEST, STEEPEST)));
    };
    const [wanted, now] = [ratios(before), ratios(scores)];
    const factors = scores.map((_, i) =>
      exp(rec, clamp(rec, scale(rec, sub(rec, wanted[i]!, now[i]!), this.#alpha), -STEEPEST, STEEPEST)),
    );
    const one = rec.constant(Float32Array.of(1), [1], "one");
    const joined = joinColumns(
      rec,
      [...scores, one].map((value) => rec.reshape(value, [1, 1])),
    );
    rec.step({
      kernel: "reduce/scaled-by",
      bind: { x: joined, factor: one, y: state },
      params: { count: m + 1, scale: 1, accumulate: 1 },
      groups: spanGroups(m + 1),
    });
    return factors;
  }

  free(): void {
    this.kept[0].free();
  }
}
