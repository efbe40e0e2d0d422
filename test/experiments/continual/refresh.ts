import { BedLab } from "../continual-bed.ts";
import { experimentOf } from "../experiment.ts";

const BED = {
  stream: () => "glyphs --canvas 9 --shift 0 --noise 0.2 --stream pixels=1,2,3,4,5 --size 400",
  config: { model_type: "mlp", input_size: 81, hidden_sizes: [64], num_labels: 10 },
  line: "--epochs 3 --batch-size 20 --lr 1e-2",
  score: "accuracy",
} as const;

export const experiment = experimentOf({
  title: "The refresh step beside `der-plus`, `er` and `ewc`",
  about: `Five permutations of the pixels of ten digits, as in the bed of permutations: 400 rows a task, a perceptron with 64 hidden units, a
buffer of 200 rows. \`--refresh\` moves the weights uphill on the new rows before each step, by its own δ of 1e-5 and by a hundred times as
much. Accuracy on 200 other rows of each task after the last one. The paper has a small gain with DER++.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    "der++: accuracy": {},
    "der++, δ 1e-5: accuracy": {},
    "der++, δ 1e-3: accuracy": {},
    "er: accuracy": {},
    "er, δ 1e-3: accuracy": {},
    "ewc: accuracy": {},
    "ewc, δ 1e-3: accuracy": {},
    "der++, δ 0 − der++": { is: 0 },
    "der++, δ 1e-5 − der++": { above: -0.02 },
    "der++, δ 1e-3 − der++": {},
    "er, δ 1e-3 − er": {},
    "ewc, δ 1e-3 − ewc": {},
  },
  run: (seed) =>
    BedLab.on(BED, seed, async (lab) => {
      const accuracy = async (method: string, delta?: number) => {
        const options = delta === undefined ? "" : `--refresh --refresh-delta ${delta}`;
        return (await lab.run(method, options))!.metrics.average!;
      };
      const [dark, none, small, large] = [
        await accuracy("der-plus"),
        await accuracy("der-plus", 0),
        await accuracy("der-plus", 1e-5),
        await accuracy("der-plus", 1e-3),
      ];
      const [er, erLarge] = [await accuracy("er"), await accuracy("er", 1e-3)];
      const [ewc, ewcLarge] = [await accuracy("ewc"), await accuracy("ewc", 1e-3)];
      return {
        "der++: accuracy": dark,
        "der++, δ 1e-5: accuracy": small,
        "der++, δ 1e-3: accuracy": large,
        "er: accuracy": er,
        "er, δ 1e-3: accuracy": erLarge,
        "ewc: accuracy": ewc,
        "ewc, δ 1e-3: accuracy": ewcLarge,
        "der++, δ 0 − der++": none - dark,
        "der++, δ 1e-5 − der++": small - dark,
        "der++, δ 1e-3 − der++": large - dark,
        "er, δ 1e-3 − er": erLarge - er,
        "ewc, δ 1e-3 − ewc": ewcLarge - ewc,
      };
    }),
});
