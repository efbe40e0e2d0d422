/**
 * Leaves out one layer after the other, each time the one without which the loss on rows is lowest. Kim et al. 2024,
 * Shortened LLaMA: Depth Pruning for Large Language Models, https://arxiv.org/abs/2402.02834, which measures every
 * layer once; here the others are measured again after each that went.
 */
import { defineMeasuredDepthRule, layersBelow } from "../../depth-rule.ts";

export const method = defineMeasuredDepthRule({
  name: "loss",
  title: "Greedy removal by loss",
  about: "leaves out the layer that costs the least loss, again and again",
  cite: "arXiv:2402.02834",
  options: {},
  async choose({ layers, keep }, _, measure) {
    let kept = layersBelow(layers);
    while (kept.length > keep) {
      let best: { readonly kept: number[]; readonly loss: number } | undefined;
      for (const layer of kept) {
        const without = kept.filter((other) => other !== layer);
        const loss = await measure.loss(without);
        if (!best || loss < best.loss) best = { kept: without, loss };
      }
      kept = best!.kept;
    }
    return kept;
  },
});
