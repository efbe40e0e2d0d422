/** Weights of rows by their losses in float64, and differences of lists. */
import type { SampleWeight } from "../../src/curriculum/loss-weights.ts";

export type Kind = Exclude<SampleWeight, "uniform">;
export const KINDS: readonly Kind[] = ["linupper", "quadratic", "extremes"];

/** Weights of losses as Sow et al. have them. */
export function weightsBy(kind: Kind, losses: ArrayLike<number>, inverse: number): number[] {
  const l = Array.from(losses);
  const [most, least] = [Math.max(...l), Math.min(...l)];
  const f = l.map((loss) => {
    const h = (2 * loss - (most + least)) / Math.max(most - least, 1e-6);
    return kind === "linupper" ? Math.min(h + 1, 1) : kind === "quadratic" ? 1 - h * h : Math.abs(h);
  });
  const raised = f.map((value) => Math.exp((value - Math.max(...f)) * inverse));
  const sum = raised.reduce((a, b) => a + b, 0);
  return raised.map((value) => value / sum);
}

/** Largest difference of two lists. */
export const worst = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0);
