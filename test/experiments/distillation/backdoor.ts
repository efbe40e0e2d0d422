import { sharedGpu } from "../../support/gpu.ts";
import { experimentOf } from "../experiment.ts";
import { pretrainedApart } from "../mixture-worlds.ts";

export const experiment = experimentOf({
  title: "`logit-ensemble`: what two pre-trainings lack",
  about: `Two networks learn digits: one has 500 rows of each digit from 0 to 4 and 5 of the others, the second the other way about. The last
layer of each then learns 200 rows of every even digit and 10 of every odd one, with cross-entropy or with logit adjustment.
Accuracy is on as many rows of each digit. Adjustment lifts the digits that are rare now; those that were rare in the pre-training
stay behind, and the mean of the two models' logits lifts them. Students learn from the adjusted models, on rows of
all digits alike.`,
  seeds: [1, 2, 3],
  tested: 2,
  long: true,
  figures: {
    "adjusted − cross-entropy, digits rare now": { above: 0.1 },
    "adjusted, digits rare in pre-training − the others": { below: -0.2 },
    "mean of two − adjusted, digits rare in pre-training": { above: 0.2 },
    "mean of two − the better one, all digits": { above: 0.1 },
    "student of both − students of one, all digits": { above: 0.05 },
  },
  async run(seed) {
    const found = await pretrainedApart(await sharedGpu(), seed);
    return {
      "adjusted − cross-entropy, digits rare now": found.adjustedTail - found.plainTail,
      "adjusted, digits rare in pre-training − the others": found.adjustedLacking - found.adjustedKnown,
      "mean of two − adjusted, digits rare in pre-training": found.ensembleLacking - found.adjustedLacking,
      "mean of two − the better one, all digits": found.ensemble - Math.max(...found.single),
      "student of both − students of one, all digits": found.studentOfBoth - found.studentOfOne,
    };
  },
});
