import { sharedGpu } from "../../support/gpu.ts";
import { cachedTop } from "../distill-languages.ts";
import { experimentOf } from "../experiment.ts";

export const experiment = experimentOf({
  title: "Students of what a cache keeps of a teacher",
  about: `256 symbols, of which a cache keeps all, 64 or 16 per token. All else is one bucket, which the divergence sees as one symbol, so
that a cached loss is the smaller one. "Variation" is the total variation between the student and that of the live teacher; "another
order" is that of the same batches in another order.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    "all, error of the loss": { below: 1e-6 },
    "all, variation": { below: 5e-3 },
    "all, KL to the teacher ÷ live, less 1, either way": { below: 1e-3 },
    "64, mass kept": { below: 0.9 },
    "64, error of the loss": { above: 0.02, below: 0.1 },
    "64, variation ÷ another order": { below: 0.7 },
    "64, KL to the teacher ÷ live": { below: 1.1 },
    "16, mass kept": {},
    "16, error of the loss ÷ that of 64": { above: 2 },
    "16, variation ÷ another order": { above: 1 },
    "16, KL to the teacher ÷ live": { above: 1.1 },
  },
  async run(seed) {
    const { results, live, otherOrder } = await cachedTop(await sharedGpu(), seed, [256, 64, 16]);
    const [all, more, few] = results as [(typeof results)[0], (typeof results)[0], (typeof results)[0]];
    return {
      "all, error of the loss": all.lossError,
      "all, variation": all.variation,
      "all, KL to the teacher ÷ live, less 1, either way": Math.abs(all.forward / live - 1),
      "64, mass kept": more.mass,
      "64, error of the loss": more.lossError,
      "64, variation ÷ another order": more.variation / otherOrder,
      "64, KL to the teacher ÷ live": more.forward / live,
      "16, mass kept": few.mass,
      "16, error of the loss ÷ that of 64": few.lossError / more.lossError,
      "16, variation ÷ another order": few.variation / otherOrder,
      "16, KL to the teacher ÷ live": few.forward / live,
    };
  },
});
