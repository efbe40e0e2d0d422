/** The k largest of a row of logits, chosen on the host. */

export interface TopLogits {
  /** Ascending; of equal logits the first. */
  readonly ids: Int32Array;
  /** Of all logits: log of the sum of their exponentials. NaN for a row with NaN or an infinity but -Infinity. */
  readonly logSum: number;
  /** The largest logit. */
  readonly largest: number;
  /** The logits that are not among the k, ascending. */
  readonly rest: Float32Array;
}

/** The min(k, V) largest of V logits. */
export function topLogits(logits: Float32Array, k: number): TopLogits {
  let largest = Number.NEGATIVE_INFINITY;
  for (const x of logits) if (x > largest) largest = x;
  let sum = 0;
  for (const x of logits) sum += Math.exp(x - largest);
  const logSum = largest + Math.log(sum);
  if (k >= logits.length) return { ids: Int32Array.from(logits.keys()), logSum, largest, rest: new Float32Array() };
  const sorted = logits.slice().sort();
  const cut = sorted[logits.length - k]!;
  let above = 0;
  for (const x of logits) if (x > cut) above++;
  let equal = k - above;
  const ids = new Int32Array(k);
  let at = 0;
  for (let i = 0; i < logits.length; i++) {
    if (logits[i]! > cut || (logits[i] === cut && equal-- > 0)) ids[at++] = i;
  }
  return { ids, logSum, largest, rest: sorted.subarray(0, logits.length - k) };
}
