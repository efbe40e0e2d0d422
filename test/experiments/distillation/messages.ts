import { sharedGpu } from "../../support/gpu.ts";
import { talking } from "../distill-languages.ts";
import { experimentOf } from "../experiment.ts";

export const experiment = experimentOf({
  title: "`messages`: a student that asks the teacher's upper layers",
  about: `A language of 12 symbols in which two decide the next (uniform is 2.48). The teacher has four layers of width 48 and 1024 texts, students two layers
of width 16, 64 texts and 120 steps. Losses on other texts; all but \`kd\` have the labels' loss beside theirs.
Messages are better than labels alone, and behind hidden states through a projection and the teacher's probabilities.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    "teacher, loss": {},
    "labels, loss": {},
    "kd, loss": {},
    "hidden, loss": {},
    "messages, loss": {},
    "messages, weight 10, loss": {},
    "messages − labels": { below: 0 },
    "messages − hidden": {},
  },
  async run(seed) {
    const { teacher, labels, kd, hidden, messages, strongly } = await talking(await sharedGpu(), seed);
    return {
      "teacher, loss": teacher,
      "labels, loss": labels,
      "kd, loss": kd,
      "hidden, loss": hidden,
      "messages, loss": messages,
      "messages, weight 10, loss": strongly,
      "messages − labels": messages - labels,
      "messages − hidden": messages - hidden,
    };
  },
});
