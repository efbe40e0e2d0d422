/**
 * Rows from the easiest part of the data, which grows with the square root of time. Platanios et al. 2019,
 * https://arxiv.org/abs/1903.09848.
 *
 *   c(t) = min(1, sqrt(t (1 - c0^2) / T + c0^2)), rows drawn evenly from the easiest c(t)
 *
 * Easy is a low loss under the model as it was at the start. `toward` easy begins with the hardest rows instead.
 */
import { defineOrdering } from "../../contract.ts";
import { competenceAt, easiest, OVER, PASS, ranked, shuffledPool } from "../../ranked-rows.ts";

export const method = defineOrdering({
  name: "competence",
  title: "Competence pacing",
  about: "rows from the easiest part, which grows with the square root of time",
  cite: "arXiv:1903.09848",
  needs: "scores",
  laws: { ordinaryOrder: true, easiestFirst: true, unknownLast: true, allInTheEnd: true },
  trials: [{ pass: 1 }, {}, { toward: "easy" }],
  options: {
    c0: { type: "0 <= number <= 1", default: 0.01, help: "share of the rows at the start" },
    over: OVER,
    pass: PASS,
    toward: { type: "'hard' | 'easy'", default: "hard", help: "what is added with time" },
  },
  rows({ lengths, scores, done, epoch, seed, values: { c0, over, pass, toward } }) {
    const order = ranked(scores, toward === "hard" ? "least" : "largest");
    const pool = easiest(order, competenceAt(Math.min(1, done / over), c0));
    return shuffledPool(pool, lengths.length, seed, epoch, Math.ceil(pass * lengths.length));
  },
});
