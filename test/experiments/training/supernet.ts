import { AttackedDigits, SIDE } from "../attacked-digits.ts";
import { inLab } from "../curriculum-lab.ts";
import type { Bound, Experiment } from "../experiment.ts";

const STEPS = 300;
const WARMUPS = [0, 0.5, 1] as const;
const SIZES = { whole: 1, half: 0.5, quarter: 0.25 } as const;
const COLUMNS = [...Object.keys(SIZES), "mean"];

const bounds: Readonly<Record<string, Bound>> = {
  "warm-up 0.5 − 1: mean": { above: 0.05 },
  "warm-up 0.5 − 0: mean": {},
};

export const experiment: Experiment = {
  title: "Smaller models inside of a model, begun late or early (deps)",
  about: `Rendered digits of ${SIDE} × ${SIDE} pixels, 2000 to learn and 500 held out. A perceptron of two hidden layers of 64 units, widths of 1, 1/2
and 1/4, AdamW at 5e-3, ${STEPS} steps of 50 rows. *Warm-up* is the share of the steps in which the whole model is trained alone: with 1 smaller models
are never trained. Accuracy of each width cut out of the result. Against what the card expects, smaller models that are trained from the first step on are
ahead here, and cost the whole one nothing: it knows the digits long before the end, and the steps after the warm-up are fewer and of a falling rate.`,
  columns: COLUMNS,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: Object.fromEntries(
    [...WARMUPS.flatMap((w) => COLUMNS.map((column) => `warm-up ${w}: ${column}`)), ...Object.keys(bounds)].map(
      (name) => [name, bounds[name] ?? {}],
    ),
  ),
  run: (seed) =>
    inLab(async (lab) => {
      const bed = new AttackedDigits(lab.folder);
      await bed.digits("train.jsonl", seed, 2000, "train");
      await bed.digits("test.jsonl", seed, 500, "test");
      const net = { model_type: "mlp", input_size: SIDE ** 2, hidden_sizes: [64, 64], num_labels: 10 };
      const figures: Record<string, number> = {};
      for (const w of WARMUPS) {
        const line = `${lab.fresh(net)} --data train.jsonl --batch-size 50 --steps ${STEPS} --lr 5e-3 --seed ${seed}`;
        const own = `--supernet deps --widths 1,0.5,0.25 --supernet-warmup ${w}`;
        await bed.run("train", `${line} ${own} --save-every 0 --overwrite -o out/`);
        for (const [name, share] of Object.entries(SIZES)) {
          await bed.run("compress", `extract out/ --width ${share} --overwrite -o cut/`);
          const text = await bed.run("evaluate", "cut/ --data test.jsonl --metric accuracy --json");
          figures[`warm-up ${w}: ${name}`] = JSON.parse(text).accuracy;
        }
        const each = Object.keys(SIZES).map((name) => figures[`warm-up ${w}: ${name}`]!);
        figures[`warm-up ${w}: mean`] = each.reduce((a, b) => a + b, 0) / each.length;
      }
      const mean = (w: number) => figures[`warm-up ${w}: mean`]!;
      return {
        ...figures,
        "warm-up 0.5 − 1: mean": mean(0.5) - mean(1),
        "warm-up 0.5 − 0: mean": mean(0.5) - mean(0),
      };
    }),
};
