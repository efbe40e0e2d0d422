/**
 * LiNeS after any merge: the result's change from the base, scaled by depth as the method `lines` scales task vectors.
 *
 * Wang et al., ICLR 2025, https://arxiv.org/abs/2410.17146. Of a merge of K > 1 models alpha is |sum of their task
 * vectors|_1 / |the result's task vector|_1 / K, which a merge that is not written finds first; of one model 0.2. The
 * paper searches beta on validation data; left out it is 1 - alpha, and 0 for an alpha above 1, so that the last block
 * keeps the whole change.
 */
import { postStep } from "../post-step.ts";
import { linesAlpha, scaleByDepth } from "../updates/scale-by-depth.ts";

export const method = postStep({
  name: "lines",
  title: "LiNeS",
  about: "scale the result's change from the base by depth",
  cite: "arXiv:2410.17146",
  options: {
    lines_alpha: {
      type: "number",
      help: "scale of the first block (from the norms of the changes; 0.2 for one model)",
    },
    lines_beta: { type: "number", help: "how much larger the scale of the last block is (1 - alpha, at least 0)" },
  },
  needsNorms: ({ lines_alpha }, models) => lines_alpha === undefined && models > 1,
  scale(task, { lines_alpha, lines_beta }, norms) {
    const alpha = lines_alpha ?? (norms ? linesAlpha(norms.summed, norms.merged, norms.models) : 0.2);
    return scaleByDepth(task, alpha, lines_beta ?? Math.max(0, 1 - alpha));
  },
});
