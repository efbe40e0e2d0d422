import { sharedGpu } from "../../support/gpu.ts";
import { newLanguage } from "../distill-languages.ts";
import { experimentOf } from "../experiment.ts";

export const experiment = experimentOf({
  title: "`lssd` and `self-further`: 24 texts of a new language",
  about: `A decoder that knows one language goes on for 60 steps; losses on other texts of both. "Labels" is going on alone, "original" KL to
the model as it was beside the labels. That self-distillation stays nearer the original weights, as its paper's theory has it, was not
found, so nothing is asserted of it.`,
  seeds: [1, 2, 3],
  tested: 2,
  long: true,
  figures: {
    "lssd − labels, the old": { below: -0.5 },
    "lssd − original, the new": { below: -0.08 },
    "lssd − labels, the new": { below: 0.05 },
    "self-further − labels, the new": { below: -0.03 },
    "labels, way of the weights": {},
    "self-further, way of the weights": {},
  },
  async run(seed) {
    const { further, original, swapped, self } = await newLanguage(await sharedGpu(), seed);
    return {
      "lssd − labels, the old": swapped.old - further.old,
      "lssd − original, the new": swapped.fresh - original.fresh,
      "lssd − labels, the new": swapped.fresh - further.fresh,
      "self-further − labels, the new": self.fresh - further.fresh,
      "labels, way of the weights": further.moved,
      "self-further, way of the weights": self.moved,
    };
  },
});
