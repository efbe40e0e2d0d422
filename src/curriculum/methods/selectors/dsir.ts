/**
 * Data selection with importance resampling: rows whose n-grams are likelier among the rows that are aimed at than
 * among all that there are. Xie et al. 2023, https://arxiv.org/abs/2302.03169
 *
 *   log w(x) = sum over n-grams g of x of log p_target(h(g)) - log p_all(h(g)),   h: a bucket of a hash
 *
 * Rows are drawn without replacement with chances proportional to w: the largest log w + Gumbel noise, the noise chosen
 * by the seed and the row's place. Here n-grams are of the model's tokens, no model is run, and counts of buckets begin
 * at `smoothing`.
 */
import { Random } from "../../../data/random.ts";
import { defineSelector } from "../../contract.ts";
import { ranked } from "../../ranked-rows.ts";

/** Buckets of the n-grams of 1 to `order` tokens of a row; an n-gram that is there twice counts twice. */
export function bucketsOf(tokens: ArrayLike<number>, order: number, buckets: number): Uint32Array {
  const found: number[] = [];
  for (let n = 1; n <= order; n++)
    for (let at = 0; at + n <= tokens.length; at++) {
      const gram = Int32Array.from({ length: n }, (_, i) => tokens[at + i]!);
      found.push(Number(Bun.hash.xxHash64(gram, BigInt(n)) % BigInt(buckets)));
    }
  return Uint32Array.from(found);
}

/** Shares of buckets among rows, each count begun at `smoothing`. */
export function bucketShares(rows: readonly Uint32Array[], buckets: number, smoothing: number): Float64Array {
  const counts = new Float64Array(buckets).fill(smoothing);
  for (const row of rows) for (const bucket of row) counts[bucket]!++;
  const total = counts.reduce((a, b) => a + b, 0);
  return counts.map((count) => count / total);
}

export const method = defineSelector({
  name: "dsir",
  title: "Importance resampling",
  about: "rows whose n-grams are those of the rows that are aimed at",
  cite: "arXiv:2302.03169",
  needs: "tokens",
  target: true,
  laws: {
    anyRowOrder: "the noise is that of a row's place",
    unknownLast: "tokens are always known",
    nested: true,
  },
  options: {
    ngrams: { type: "1 <= number.integer <= 8", default: 2, value: "N", help: "tokens of the longest n-grams" },
    buckets: { type: "2 <= number.integer <= 16777216", default: 10000, help: "buckets that n-grams are hashed to" },
    smoothing: { type: "number > 0", default: 1, help: "count that every bucket begins at" },
    draw: { type: "'resample' | 'top'", default: "resample", help: "by lot, or the rows of the largest weight" },
  },
  trials: [{}, { draw: "top" }],
  select({ tokens, targets, budget, seed, values: { ngrams, buckets, smoothing, draw } }) {
    const rows = tokens.map((row) => bucketsOf(row, ngrams, buckets));
    const aimed = targets.flatMap((set) => set.tokens.map((row) => bucketsOf(row, ngrams, buckets)));
    const [all, target] = [bucketShares(rows, buckets, smoothing), bucketShares(aimed, buckets, smoothing)];
    const gains = target.map((share, bucket) => Math.log(share / all[bucket]!));
    const weights = rows.map((row) => row.reduce((sum, bucket) => sum + gains[bucket]!, 0));
    const drawn = weights.map((weight, row) =>
      draw === "top" ? weight : weight - Math.log(-Math.log(1 - new Random(seed, "dsir", row).uniform())),
    );
    return { rows: [...ranked(drawn, "largest").subarray(0, budget)], notes: { log_weights: weights } };
  },
});
