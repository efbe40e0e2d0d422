/** How models fare under a shift, in numbers: intervals, areas, and robustness beyond what accuracy foretells. */
import { bootstrap } from "../bootstrap.ts";

export interface Share {
  readonly accuracy: number;
  /** Of 95 %. */
  readonly interval: readonly [number, number];
  readonly rows: number;
}

/** The share of rows that are right, by a bootstrap over rows. */
export function shareOf(right: readonly boolean[], { draws, seed }: { draws: number; seed: number }): Share {
  const of = (list: readonly boolean[]) => list.filter(Boolean).length / list.length;
  const interval = bootstrap([right], ([drawn = []]) => of(drawn), { draws, seed });
  return { accuracy: of(right), interval, rows: right.length };
}

/** Mean height of a curve over steps of one length, by trapezoids. */
export function areaOf(curve: readonly number[]): number {
  const inner = curve.slice(1, -1).reduce((sum, y) => sum + y, 0);
  return (inner + (curve[0]! + curve.at(-1)!) / 2) / (curve.length - 1);
}

/** log odds of a share of so many rows, which is kept half a row from 0 and 1. */
function logOdds({ accuracy, rows }: Pick<Share, "accuracy" | "rows">): number {
  const p = Math.min(1 - 0.5 / rows, Math.max(0.5 / rows, accuracy));
  return Math.log(p / (1 - p));
}

export interface Robustness {
  /** Accuracy that the pool's line foretells. */
  readonly foretold: number;
  /** What the model has beyond it. */
  readonly effective: number;
}

/**
 * Effective robustness of each model of a pool: its accuracy on shifted rows less what a line through all models
 * foretells from that on learnt ones, in log odds. Taori et al., NeurIPS 2020, https://arxiv.org/abs/2007.00644.
 * Undefined of fewer than three models, through which a line goes by itself, and of equal ones.
 */
export function robustnessOf(learnt: readonly Share[], shifted: readonly Share[]): Robustness[] | undefined {
  if (learnt.length < 3) return undefined;
  const [x, y] = [learnt.map(logOdds), shifted.map(logOdds)];
  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  const [mx, my] = [mean(x), mean(y)];
  const spread = x.reduce((sum, value) => sum + (value - mx) ** 2, 0);
  if (spread < 1e-12) return undefined;
  const slope = x.reduce((sum, value, i) => sum + (value - mx) * (y[i]! - my), 0) / spread;
  return shifted.map(({ accuracy }, i) => {
    const foretold = 1 / (1 + Math.exp(-(my + slope * (x[i]! - mx))));
    return { foretold, effective: accuracy - foretold };
  });
}
