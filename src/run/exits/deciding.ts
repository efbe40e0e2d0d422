/**
 * Where a row leaves a network of several exits, by what its gates say. Regol et al. 2024, Jointly-Learned Exit and
 * Inference for a Dynamic Neural Network, https://arxiv.org/abs/2310.09163
 */

/**
 * Shares P of the exits, the last one the rest: P_l = max(0, min(g_l, 1 - g_0 - ... - g_(l-1))). They are at least 0
 * and add up to 1.
 */
export function exitShares(gates: readonly number[]): number[] {
  const shares: number[] = [];
  let sum = 0;
  for (const gate of gates) {
    shares.push(Math.max(0, Math.min(gate, 1 - sum)));
    sum += gate;
  }
  return [...shares, Math.max(0, 1 - sum)];
}

/** The first exit whose share of what has not left before, P_l / product of (1 - a_j), is at least a half. */
export function exitOf(gates: readonly number[]): number {
  const shares = exitShares(gates);
  let left = 1;
  for (const [exit, share] of shares.slice(0, -1).entries()) {
    const activation = left > 0 ? Math.min(1, share / left) : 1;
    if (activation >= 0.5) return exit;
    left *= 1 - activation;
  }
  return gates.length;
}

/** What one exit says of a row. */
export interface ExitSaid {
  readonly confidence: number;
  readonly right: boolean;
}

/** A row at all exits, the model's own head last. */
export interface ExitRow {
  readonly said: readonly ExitSaid[];
  /** Of all exits but the last. */
  readonly gates: readonly number[];
}

/** The first exit at which the confidence reaches a threshold. */
export function confidentExit({ said }: ExitRow, threshold: number): number {
  const found = said.findIndex(({ confidence }) => confidence >= threshold);
  return found < 0 ? said.length - 1 : found;
}

/** Mean cost of rows that leave at these exits. */
export const meanCost = (exits: readonly number[], costs: readonly number[]): number =>
  exits.reduce((sum, exit) => sum + costs[exit]!, 0) / exits.length;

/**
 * The largest threshold of confidence at which rows cost at most `most` in the mean: a row that leaves later costs
 * more. -Infinity where even the first exit costs more.
 */
export function thresholdFor(rows: readonly ExitRow[], costs: readonly number[], most: number): number {
  const tried = [...new Set(rows.flatMap(({ said }) => said.slice(0, -1).map(({ confidence }) => confidence)))].sort(
    (a, b) => a - b,
  );
  let [low, high] = [-1, tried.length]; // the threshold of `low` costs little enough, that of `high` too much
  const costAt = (threshold: number) =>
    meanCost(
      rows.map((row) => confidentExit(row, threshold)),
      costs,
    );
  if (costAt(Number.POSITIVE_INFINITY) <= most) return Number.POSITIVE_INFINITY;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (costAt(tried[middle]!) <= most) low = middle;
    else high = middle;
  }
  return tried[low] ?? Number.NEGATIVE_INFINITY;
}
