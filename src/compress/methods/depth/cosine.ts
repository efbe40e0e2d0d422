/**
 * Leaves out the layers whose output is most like their input, by one look at the whole model. Men et al. 2024,
 * ShortGPT: Layers in Large Language Models are More Redundant Than You Expect, https://arxiv.org/abs/2403.03853
 */
import { defineMeasuredDepthRule, layersBelow } from "../../depth-rule.ts";

export const method = defineMeasuredDepthRule({
  name: "cosine",
  title: "Block influence",
  about: "leaves out the layers that turn what they read the least",
  cite: "arXiv:2403.03853",
  options: {},
  async choose({ layers, keep }, _, measure) {
    const influences = await measure.influences();
    // Of equal ones the lower layer stays.
    const ranked = layersBelow(layers).sort((a, b) => influences[b]! - influences[a]! || a - b);
    return ranked.slice(0, keep).sort((a, b) => a - b);
  },
});
