/**
 * Percentile bootstrap intervals over rows. Efron 1979. The draws depend on the seed alone, so two checkpoints share
 * them.
 */
import { keyedUnits } from "../keyed-random.ts";
import type { ScoredRow } from "../run/scoring/scored-row.ts";

/** Lists of rows that belong together: rows of one place are drawn together. */
export type PairedRows<T = ScoredRow> = readonly (readonly T[])[];

/**
 * The middle 95 % of `draws` resamples of a statistic of paired lists of rows. With `strata`, the group of each row,
 * every row is drawn from its own group.
 *
 *   bootstrap([rows], ([drawn]) => metric.value(drawn, setup), { draws: 200, seed: 0 }); // [0.71, 0.83]
 */
export function bootstrap<T>(
  lists: PairedRows<T>,
  statistic: (lists: PairedRows<T>) => number,
  { draws, seed, strata }: { readonly draws: number; readonly seed: number; readonly strata?: readonly number[] },
): [number, number] {
  const n = lists[0]!.length;
  const unit = keyedUnits(seed, "bootstrap");
  const members = strata ? Map.groupBy(strata.keys(), (i) => strata[i]!) : undefined;
  const draw = (i: number) => {
    if (!members) return Math.floor(unit() * n);
    const own = members.get(strata![i]!)!;
    return own[Math.floor(unit() * own.length)]!;
  };
  const values = Float64Array.from({ length: draws }, () => {
    const picked = Array.from({ length: n }, (_, i) => draw(i));
    return statistic(lists.map((rows) => picked.map((i) => rows[i]!)));
  }).sort();
  const at = (share: number) => values[Math.min(draws - 1, Math.max(0, Math.round(share * (draws - 1))))]!;
  return [at(0.025), at(0.975)];
}
