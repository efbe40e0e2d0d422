/**
 * The loss of a row: one definition for whoever averages, sorts or compares losses.
 *
 * A row of which no token counts, because its prompt alone fills the model's length, has no loss. Its mean is NaN,
 * which every consumer treats as unknown: it is left out, or comes last, and is never taken for 0.
 */

/** Losses by place, with what was to be predicted there: negative where nothing counts. */
export interface PlacedLosses {
  readonly targets: ArrayLike<number>;
  /** -log probabilities of the targets, in nats. */
  readonly nll: ArrayLike<number>;
}

/** Sum of the losses that count between two places, in nats and float64, and how many they are. */
export function countedLoss(
  { targets, nll }: PlacedLosses,
  from = 0,
  to = targets.length,
): { readonly sum: number; readonly counted: number } {
  let [sum, counted] = [0, 0];
  for (let i = from; i < to; i++) {
    if (targets[i]! < 0) continue;
    sum += nll[i]!;
    counted++;
  }
  return { sum, counted };
}

/**
 * Mean loss of the places that count, in nats per token; NaN where none does.
 *
 *   const scores = await scorer.score(batch);
 *   meanLoss(scores, row * batch.length, (row + 1) * batch.length);
 */
export function meanLoss(losses: PlacedLosses, from?: number, to?: number): number {
  const { sum, counted } = countedLoss(losses, from, to);
  return sum / counted;
}
