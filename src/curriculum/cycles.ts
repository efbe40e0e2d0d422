/**
 * Cycles of passes over more and fewer rows, and weighted draws of the rows of a pass: what the orderings cyclical and
 * cyclical-live share. Kesgin and Amasyali 2022, https://arxiv.org/abs/2202.05531.
 *
 *   cyclic   1/4 1/2 1 1/2 1/4 1/2 1 ... (start s, end e, factor m: n / m up to e, n m down to s)
 *   sharp    back to s after e           growing   up to e, and stays          shrinking   from e down to s, and stays
 *   exponential   0.04 1.5^k             parabolic   0.04 (k + 1)^1.5          both up to 1
 *
 * Scores from the loss l: easy 1 / l, hard l, exponential x exp(-x l), random 1. Weighted draws keep the largest
 * u^(1/score) (Efraimidis and Spirakis 2006), u even and keyed by seed, pass and row; the rows kept come in the order
 * of an ordinary epoch, so a pass over all rows is that epoch. Rows without a loss come last, whatever the score.
 */
import { Random } from "../data/random.ts";
import { UserError } from "../errors.ts";
import type { Values } from "../method/options.ts";
import type { OrderingMethod, OrderingSetup } from "./contract.ts";
import { easiest, ranked, shuffledPool } from "./ranked-rows.ts";

export const CYCLE = {
  start: { type: "0 < number <= 1", default: 0.25, help: "s, least share of the rows in a pass" },
  end: { type: "0 < number <= 1", default: 1, help: "e, largest share" },
  mult: { type: "0 < number < 1", default: 0.5, help: "m, factor from pass to pass" },
  strategy: {
    type: "'cyclic' | 'sharp' | 'growing' | 'shrinking' | 'exponential' | 'parabolic'",
    default: "cyclic",
    help: "how the share changes",
  },
  score: { type: "'easy' | 'hard' | 'random' | 'exponential'", default: "easy", help: "which rows are likelier" },
  rate: { type: "number > 0", default: 0.5, help: "x of --score exponential" },
} as const;

type Cycle = Values<typeof CYCLE>;

/** Share of the rows in pass k, from 0. */
function cycleShare(k: number, { strategy, start, end, mult }: Cycle): number {
  if (strategy === "exponential") return Math.min(1, 0.04 * 1.5 ** k);
  if (strategy === "parabolic") return Math.min(1, 0.04 * (k + 1) ** 1.5);
  const up = [start];
  while (up.at(-1)! < end) up.push(Math.min(up.at(-1)! / mult, end));
  const down = [end];
  while (down.at(-1)! > start) down.push(Math.max(down.at(-1)! * mult, start));
  if (strategy === "growing") return up[Math.min(k, up.length - 1)]!;
  if (strategy === "shrinking") return down[Math.min(k, down.length - 1)]!;
  // One period: up to e, then down until just before s, where the next begins.
  const period = strategy === "sharp" ? up : [...up, ...down.slice(1, -1)];
  return period[k % period.length]!;
}

/** Shares of the passes that make `total` epochs; the last is cut so that they sum to it. */
export function cycleShares(total: number, cycle: Cycle): number[] {
  const shares: number[] = [];
  for (let left = total; left > 1e-9; left -= shares.at(-1)!)
    shares.push(Math.min(left, cycleShare(shares.length, cycle)));
  return shares;
}

/** Throws UserError when the least share is above the largest. */
function checkCycle({ start, end }: Cycle): void {
  if (start > end)
    throw new UserError(`--start ${start} is above --end ${end}`, "a pass has at least --start of the rows");
}

/** The rows of a pass. */
function cycleRows({ lengths, scores, epoch, seed, values }: OrderingSetup<typeof CYCLE>): Uint32Array {
  const { score, rate } = values;
  const weight = (loss: number): number => {
    if (score === "random") return 1;
    if (score === "hard") return Math.max(loss, 1e-6);
    return score === "easy" ? 1 / Math.max(loss, 1e-6) : rate * Math.exp(-rate * loss);
  };
  const random = new Random(seed, "cyclical", epoch);
  // -ln(u) / score: the smallest are the largest u^(1/score).
  const keys = Float64Array.from({ length: lengths.length }, (_, row) => {
    const spent = -Math.log(1 - random.uniform());
    return Number.isNaN(scores[row]) ? Number.NaN : spent / weight(scores[row]!);
  });
  const pool = easiest(ranked(keys), cycleShare(epoch, values));
  return shuffledPool(pool, lengths.length, seed, epoch);
}

/** What cyclical curricula have in common. */
export const CYCLICAL = {
  cite: "arXiv:2202.05531",
  laws: {
    ordinaryOrder: true,
    easiestFirst: true,
    unknownLast: true,
    allInTheEnd: "the share of the rows falls again",
  },
  trials: [
    {},
    { score: "hard", strategy: "sharp" },
    { score: "random", strategy: "parabolic" },
    { score: "exponential" },
  ],
  options: CYCLE,
  check: checkCycle,
  passes: cycleShares,
  rows: cycleRows,
} as const satisfies Partial<OrderingMethod<typeof CYCLE>>;
