/**
 * The best part of the rows, several times: a row is good when its loss under a model of trusted text is low. Guo et
 * al. 2024, https://arxiv.org/abs/2406.14833, who keep about a tenth and pass over it four or five times. The scoring
 * model is the one that the training starts from.
 */
import { defineOrdering } from "../../contract.ts";
import { easiest, ranked, shuffledPool } from "../../ranked-rows.ts";

export const method = defineOrdering({
  name: "quality",
  title: "Best part",
  about: "only the rows of lowest loss, shuffled again for every pass",
  cite: "arXiv:2406.14833",
  needs: "scores",
  laws: {
    ordinaryOrder: true,
    easiestFirst: true,
    unknownLast: true,
    allInTheEnd: "the same part of the rows is kept for good",
  },
  options: {
    subset: { type: "0 < number <= 1", default: 0.25, help: "share of the rows that is kept" },
  },
  rows: ({ lengths, scores, epoch, seed, values: { subset } }) =>
    shuffledPool(easiest(ranked(scores), subset), lengths.length, seed, epoch),
});
