import { TextLab } from "../compress-text.ts";
import { experimentOf } from "../experiment.ts";

const HOW = { "50 %": "--sparsity 0.5", "2:4": "--pattern 2:4" } as const;
const METHODS = ["magnitude", "wanda", "sparsegpt"] as const;

export const experiment = experimentOf({
  title: "Pruners on a decoder of 5.5 million parameters",
  about: `A decoder that reads bytes, 7 blocks of width 256, trained for 320 steps of 8 rows of 128 bytes on the Markdown pages of the packages
that are installed here. Perplexity per byte on pages that it never saw, after the linear layers of all blocks are pruned and nothing is
trained. A seed draws the 32 rows of training data that layers read. Theory orders sparsegpt, wanda and magnitude; what layers of so small
a model read has no outliers, by which wanda would be ahead of magnitude, so that nothing is asserted of these two.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    dense: {},
    ...Object.fromEntries(Object.keys(HOW).flatMap((how) => METHODS.map((name) => [`${name}, ${how}`, {}]))),
    ...Object.fromEntries(
      Object.keys(HOW).flatMap((how) => [
        [`wanda / magnitude, ${how}`, {}],
        [`sparsegpt / wanda, ${how}`, { below: 1 }],
      ]),
    ),
  },
  async run(seed) {
    const lab = await TextLab.open(seed);
    const found: Record<string, number> = { dense: await lab.perplexity("model/") };
    for (const [how, line] of Object.entries(HOW)) {
      const after = async (name: string) => {
        const perplexity = await lab.after(`--prune ${name} ${line}`);
        found[`${name}, ${how}`] = perplexity;
        return perplexity;
      };
      const [magnitude, wanda, sparsegpt] = [await after("magnitude"), await after("wanda"), await after("sparsegpt")];
      found[`wanda / magnitude, ${how}`] = wanda / magnitude;
      found[`sparsegpt / wanda, ${how}`] = sparsegpt / wanda;
    }
    return found;
  },
});
