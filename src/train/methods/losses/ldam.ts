/**
 * Cross-entropy of s (z - m_y at the label), m_c = C / n_c^(1/4) of a label that comes n_c times, the largest of them
 * --ldam-margin: rare labels are kept further from the border. Cao et al., NeurIPS 2019,
 * https://arxiv.org/abs/1906.07413, without normalised features and weights.
 */
import { defineLabelLoss } from "../../../run/training/label-loss.ts";
import { add, scale } from "../../../tensor/ops/elementwise.ts";
import { labelGap, softplus } from "../../../tensor/ops/label-gap.ts";
import { ofLabel } from "../../losses/label-scores.ts";

export const method = defineLabelLoss({
  name: "ldam",
  title: "Label-distribution-aware margins",
  about: "cross-entropy with a margin that is wider for rare labels",
  cite: "arXiv:1906.07413",
  laws: { shiftFree: true, favours: true, vanishes: true, bounded: true, ownRow: true },
  counts: true,
  options: {
    ldam_margin: { type: "number >= 0", default: 0.5, help: "margin of the rarest label", value: "M" },
    ldam_scale: { type: "number > 0", default: 30, help: "times the logits", value: "S" },
  },
  rows(rec, { logits, targets, values: { ldam_margin: most, ldam_scale: s }, counts }) {
    const roots = counts.map((count) => Math.max(count, 0.5) ** -0.25);
    const rarest = roots.reduce((a, b) => Math.max(a, b), 0);
    const margins = ofLabel(
      rec,
      roots.map((root) => (s * most * root) / rarest),
      targets,
    );
    return softplus(rec, add(rec, labelGap(rec, scale(rec, logits, s), targets), margins));
  },
});
