/**
 * Self-paced learning: rows that the current model finds easy, more of them with time. Kumar et al. 2010,
 * https://papers.nips.cc/paper/2010/hash/e57c6b956a6521b28495f2886ca0977a-Abstract.html.
 *
 * With `by` share the easiest part of the rows, from `start` to all over the share `over` of the training; with
 * threshold the rows whose loss is below threshold * growth^pass, at least the easiest one.
 */
import { defineOrdering } from "../../contract.ts";
import { easiest, OVER, ranked, shuffledPool } from "../../ranked-rows.ts";

export const method = defineOrdering({
  name: "self-paced",
  title: "Self-paced learning",
  about: "rows that the model now finds easy, more of them with time",
  cite: "Kumar et al., NIPS 2010",
  needs: "live",
  laws: { ordinaryOrder: true, easiestFirst: true, unknownLast: true, allInTheEnd: true },
  trials: [{}, { by: "threshold" }],
  options: {
    by: { type: "'share' | 'threshold'", default: "share", help: "what limits the rows" },
    start: { type: "0 < number <= 1", default: 0.3, help: "share of the rows at the start" },
    over: OVER,
    threshold: {
      type: "number > 0",
      default: 1,
      help: "loss below which a row is easy in the first pass, nats per token",
    },
    growth: { type: "number >= 1", default: 1.3, help: "factor of the threshold from pass to pass" },
  },
  rows({ scores, done, epoch, seed, values: { by, start, over, threshold, growth } }) {
    const order = ranked(scores);
    const limit = threshold * growth ** epoch;
    const share = start + (1 - start) * Math.min(1, done / over);
    const pool = by === "share" ? easiest(order, share) : order.filter((row, i) => i === 0 || scores[row]! < limit);
    return shuffledPool(pool, order.length, seed, epoch);
  },
});
