import { BedLab } from "../continual-bed.ts";
import { experimentOf } from "../experiment.ts";

const BED = {
  stream: () => "glyphs --canvas 9 --shift 0 --noise 0.9 --labels place --stream digits=01,23,45,67,89 --size 300",
  config: { model_type: "mlp", input_size: 81, hidden_sizes: [64, 64], num_labels: 2 },
  line: "--epochs 4 --batch-size 20 --lr 1e-2",
  score: "accuracy",
} as const;

const DENSITIES = ["0.2", "0.02"] as const;
const INITS = ["erk", "uniform"] as const;

/** Rows of the table, with the options of `dst-cl`. */
const RUNS = DENSITIES.flatMap((density) =>
  INITS.flatMap((init) =>
    (["random", "gradient"] as const).map(
      (grow) =>
        [
          `${density}, ${init}, ${grow}`,
          `--density ${density} --sparsity-init ${init} --grow ${grow} --update-every 5`,
        ] as const,
    ),
  ),
);

export const experiment = experimentOf({
  title: "Sparse sub-networks of five pairs of digits",
  about: `Which digit of a pair is it, as in the bed of pairs with three times the noise, by a perceptron of two hidden layers of 64; four epochs of 20 rows a step for
each task. Each task has a sub-network of 20 % or 2 % of the weights of the hidden layers, spread by ERK or evenly, whose places move every 5
steps to random ones or to those of the largest gradient. Accuracy of all tasks at the end, each by its own sub-network: nothing is forgotten,
so it is also that right after each task. \`seq\` trains all weights and has one network.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    "seq: accuracy": {},
    ...Object.fromEntries(RUNS.map(([row]) => [`${row}: accuracy`, {}])),
    "least of 0.2 − seq": { above: 0 },
    "largest forgetting": { is: 0 },
  },
  run: (seed) =>
    BedLab.on(BED, seed, async (lab) => {
      const seq = (await lab.run("seq"))!.metrics.average!;
      const figures: Record<string, number> = { "seq: accuracy": seq };
      const found = [];
      for (const [row, options] of RUNS) {
        const { metrics } = (await lab.run("dst-cl", options))!;
        figures[`${row}: accuracy`] = metrics.average!;
        found.push(metrics);
      }
      const dense = found.slice(0, RUNS.length / DENSITIES.length).map(({ average }) => average!);
      figures["least of 0.2 − seq"] = Math.min(...dense) - seq;
      figures["largest forgetting"] = Math.max(...found.map(({ forgetting }) => Math.abs(forgetting!)));
      return figures;
    }),
});
