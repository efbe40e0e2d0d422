import { BedLab } from "../continual-bed.ts";
import { experimentOf } from "../experiment.ts";

const BED = {
  stream: () => "glyphs --canvas 9 --shift 0 --noise 0.3 --stream digits=01,23,45,67,89 --size 300",
  config: { model_type: "mlp", input_size: 81, hidden_sizes: [64, 32], num_labels: 10 },
  line: "--epochs 10 --batch-size 20 --lr 1e-2",
  score: "accuracy",
} as const;

/** What is run, by its name in the figures. */
const RUNS = [
  ["joint", "joint", ""],
  ["seq", "seq", ""],
  ["lwf", "lwf", ""],
  ["prd", "prd", ""],
  ["prd, two views", "prd", "--view-noise 0.3"],
] as const;

export const experiment = experimentOf({
  title: "`prd` on classes that come two by two",
  about: `Digits 0 and 1, then 2 and 3, and so on, each with a label of its own: 300 rows of 9 x 9 pixels a task, a perceptron of two hidden
layers, ten epochs of 20 rows a step. All ten classes are asked for at the end, of 200 other rows of each task. No method here keeps a row.
*Two views* has every row twice in the contrastive loss, once with as much noise again (\`--view-noise 0.3\`), as
the paper's augmentation. Of the rates 0.002 and 0.01 the second was better for \`prd\` on seed 1.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    "joint: accuracy": {},
    "seq: accuracy": {},
    "seq: forgetting": {},
    "lwf: accuracy": {},
    "lwf: forgetting": {},
    "prd: accuracy": {},
    "prd: forgetting": {},
    "prd, two views: accuracy": {},
    "prd, two views: forgetting": {},
    "prd − seq": { above: 0.05 },
    "prd − lwf": {},
    "prd, two views − prd": {},
  },
  run: (seed) =>
    BedLab.on(BED, seed, async (lab) => {
      const figures: Record<string, number> = {};
      const put = (figure: string, value: number) => {
        figures[figure] = value;
      };
      for (const [name, method, options] of RUNS) {
        const { metrics } = (await lab.run(method, options))!;
        put(`${name}: accuracy`, metrics.average!);
        if (method !== "joint") put(`${name}: forgetting`, metrics.forgetting!);
      }
      const accuracy = (name: string) => figures[`${name}: accuracy`]!;
      put("prd − seq", accuracy("prd") - accuracy("seq"));
      put("prd − lwf", accuracy("prd") - accuracy("lwf"));
      put("prd, two views − prd", accuracy("prd, two views") - accuracy("prd"));
      return figures;
    }),
});
