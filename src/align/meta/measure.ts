/** Mean returns at the end of lifetimes that no search has lived: keys from 2^30 on, the same for all schedules. */
import { type Learner, lifetime, type Multipliers } from "./lifetime.ts";

export interface Tested {
  readonly lengths: readonly number[];
  readonly lives: number;
}

export interface Measured {
  readonly mean: number;
  /** Standard error over lifetimes. */
  readonly error: number;
}

export function measure(learner: Learner, multipliers: Multipliers, { lengths, lives }: Tested): Measured {
  const all = lengths.flatMap((length) =>
    Array.from({ length: lives }, (_, i) => lifetime(learner, multipliers, length, 2 ** 30 + i)),
  );
  const mean = all.reduce((sum, x) => sum + x, 0) / all.length;
  const variance = all.reduce((sum, x) => sum + (x - mean) ** 2, 0) / all.length;
  return { mean, error: Math.sqrt(variance / all.length) };
}

/** What constants are tried. */
const GRID = [0.3, 1, 3];

/** The best constant multipliers of a grid, chosen on the very lifetimes that are told: what a schedule has to beat. */
export function best(learner: Learner, test: Tested): Measured & { readonly rate: number; readonly entropy: number } {
  const tried = GRID.flatMap((rate) =>
    [0, ...GRID].map((entropy) => ({ rate, entropy, ...measure(learner, () => [rate, entropy], test) })),
  );
  return tried.reduce((a, b) => (b.mean > a.mean ? b : a));
}
