/**
 * Attention transfer: the student's attention maps are drawn to the teacher's. MobileBERT, Sun et al., ACL 2020,
 * https://arxiv.org/abs/2004.02984 By default the last layer alone, as in MiniLM,
 * https://arxiv.org/abs/2002.10957
 *
 *   kl   mean over pairs and heads of KL(A_T || A_S)      mse  mean over pairs and heads of |A_S - A_T|^2
 *
 * A row of A is what a query takes of each key it may see. Where student and teacher have other numbers of heads, the
 * means over heads are compared, which the papers do not do. Layer 1 is the first block. Of one pair at a time the maps
 * exist, forward and back: up to 4 B T^2 (3 H_S + H_T) bytes.
 */
import { attendedBy, mapDistance } from "../attended.ts";
import { byRow } from "../by-row.ts";
import { defineDistillation, EVERY_LAW } from "../contract.ts";
import { layerPairs, meanOfPairs } from "../layer-pairs.ts";

export const method = defineDistillation({
  name: "attention",
  title: "Attention transfer",
  about: "student's attention maps drawn to the teacher's, head by head or as means over heads",
  cite: "arXiv:2004.02984",
  laws: {
    ...EVERY_LAW,
    shiftInvariant: "attention maps are compared, not logits",
    rowsIndependent: "a token attends to the tokens before it",
    zeroWhereUncounted: "attention maps have no labels",
  },
  weights: { labels: 1 },
  options: {
    layers: {
      type: "string",
      default: "last:last",
      help: "pairs student:teacher of layers from 1, such as 2:4,last:last",
      value: "S:T,...",
    },
    distance: { type: "'kl' | 'mse'", default: "kl", help: "what is drawn to 0" },
  },
  check: ({ layers }) => void layerPairs(layers),
  states(rec, { student, teacher, sizes, values: { layers, distance } }) {
    const losses = layerPairs(layers).map(([s, t]) => {
      const own = attendedBy(student, s, "student", sizes.student);
      const theirs = attendedBy(teacher, t, "teacher", sizes.teacher);
      return rec.recomputed(() => byRow(rec, mapDistance(rec, own, theirs, distance), student));
    });
    return meanOfPairs(rec, losses);
  },
});
