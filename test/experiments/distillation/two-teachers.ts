import { sharedGpu } from "../../support/gpu.ts";
import { cleanAndNoisy } from "../distill-worlds.ts";
import { experimentOf } from "../experiment.ts";

export const experiment = experimentOf({
  title: "`mtard`: clean and noisy digits with a teacher for each",
  about: `Mean accuracy over both kinds of digits. \`--balance none\` has both teachers unbalanced, \`norm\` only the weights that make
progress equal, \`both\` temperatures that make the teachers equally certain too. Gaps are means over the last 50 steps.`,
  seeds: [1, 2, 3],
  tested: 3,
  figures: {
    "none − one teacher, the better, accuracy": { above: 0.01 },
    "both − none, accuracy": { above: 0 },
    "none, gap of the teachers' entropies": { above: 0.5 },
    "norm, gap of the teachers' entropies": { above: 0.5 },
    "both, gap of the teachers' entropies": { below: 0.05 },
    "norm ÷ none, gap of progress": { below: 0.85 },
  },
  async run(seed) {
    const { sure, robust, none, norm, both } = await cleanAndNoisy(await sharedGpu(), seed);
    return {
      "none − one teacher, the better, accuracy": none.accuracy - Math.max(sure.accuracy, robust.accuracy),
      "both − none, accuracy": both.accuracy - none.accuracy,
      "none, gap of the teachers' entropies": none.entropyGap,
      "norm, gap of the teachers' entropies": norm.entropyGap,
      "both, gap of the teachers' entropies": both.entropyGap,
      "norm ÷ none, gap of progress": norm.progressGap / none.progressGap,
    };
  },
});
