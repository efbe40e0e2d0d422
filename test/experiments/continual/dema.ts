import { BedLab } from "../continual-bed.ts";
import { decoder } from "../curriculum-lab.ts";
import { experimentOf } from "../experiment.ts";

const BED = {
  stream: (seed: number) => {
    const worlds = [1, 2, 3, 4].map((world) => 10 * seed + world).join(",");
    return `markov --alphabet 12 --order 1 --length 24 --form ids --stream seed=${worlds} --size 240`;
  },
  config: decoder({ vocab_size: 12 }),
  line: "--epochs 4 --batch-size 20 --lr 1e-2",
  score: "loss",
} as const;

/** Rows of the table, with the method and its options. */
const RUNS = [
  ["seq", "seq", ""],
  ["dema", "dema", ""],
  ["fixed, 0.99", "dema", "--share 0.01"],
  ["fixed, 0.9", "dema", "--share 0.1"],
] as const;

export const experiment = experimentOf({
  title: "`dema` beside fixed averages",
  about: `Four languages one after the other, as in the bed of languages: loss in nats of all at the end, how much it grew since a task was
learnt (forgetting), and its mean right after each task (learning). The paper has less forgetting with \`dema\` than with a fixed decay of
0.99 and than with none, and the last task as well as with none. Here it forgets a tenth of a nat less than plain training and learns nearly
as well; a fixed decay of 0.99 forgets less still, because it learns less.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    ...Object.fromEntries(
      RUNS.flatMap(([row]) => ["loss", "forgetting", "learning"].map((what) => [`${row}: ${what}`, {}])),
    ),
    "dema − seq, forgetting": { below: 0 },
    "dema − seq, learning": { below: 0.05 },
  },
  run: (seed) =>
    BedLab.on(BED, seed, async (lab) => {
      const figures: Record<string, number> = {};
      for (const [row, method, options] of RUNS) {
        const { metrics } = (await lab.run(method, options))!;
        figures[`${row}: loss`] = metrics.average!;
        figures[`${row}: forgetting`] = metrics.forgetting!;
        figures[`${row}: learning`] = metrics.learning!;
      }
      for (const what of ["forgetting", "learning"])
        figures[`dema − seq, ${what}`] = figures[`dema: ${what}`]! - figures[`seq: ${what}`]!;
      return figures;
    }),
});
