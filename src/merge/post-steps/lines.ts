/**
 * LiNeS after any merge: the result's change from the base, scaled by depth as the method `lines` scales task vectors.
 *
 * Wang et al., ICLR 2025, https://arxiv.org/abs/2410.17146.
 */
import { postStep } from "../post-step.ts";
import { scaleByDepth } from "../updates/scale-by-depth.ts";

export const method = postStep({
  name: "lines",
  title: "LiNeS",
  about: "scale the result's change from the base by depth",
  cite: "arXiv:2410.17146",
  options: {
    lines_alpha: { type: "number", default: 0.2, help: "scale of the first block" },
    lines_beta: { type: "number", default: 0.8, help: "how much larger the scale of the last block is" },
  },
  scale: (task, { lines_alpha, lines_beta }) => scaleByDepth(task, lines_alpha, lines_beta),
});
