/**
 * Cross-entropy among the texts of a batch: which of them belongs to the first of a pair. van den Oord et al. 2018,
 * https://arxiv.org/abs/1807.03748; the model is read as an embedder (model/embedder.ts).
 */
import { TEMPERATURE } from "../../../model/embedder.ts";
import { defineLabelLoss } from "../../../run/training/label-loss.ts";
import { crossEntropy } from "../../../tensor/ops/cross-entropy.ts";

export const method = defineLabelLoss({
  name: "infonce",
  title: "InfoNCE",
  about: "of pairs of texts: which text of the batch belongs to the first",
  cite: "arXiv:1807.03748",
  laws: { shiftFree: true, favours: true, vanishes: true, bounded: true, ownRow: true },
  softens: true,
  options: {
    temperature: { type: "number > 0", default: TEMPERATURE, help: "divides the cosines of pairs", value: "T" },
  },
  embeds: ({ temperature }) => ({ temperature }),
  rows: (rec, { logits, targets, softened }) => crossEntropy(rec, logits, targets, softened),
});
