import { AttackedDigits, SIDE } from "../attacked-digits.ts";
import { inLab } from "../curriculum-lab.ts";
import type { Bound, Experiment } from "../experiment.ts";

const STEPS = 300;
const MASSES = [0.5, 0.8, 0.95] as const;
const COLUMNS = ["accuracy", "cut alike", "operations saved", "masks right"] as const;

const bounds: Readonly<Record<string, Bound>> = {
  "mass 0.8: masks right": { above: 0.8 },
};

export const experiment: Experiment = {
  title: "Units that inputs switch, and units that are cut for all (ftwt)",
  about: `Rendered digits of ${SIDE} × ${SIDE} pixels, 2000 to learn and 500 held out. A perceptron of three hidden layers of 64 units, AdamW at 5e-3,
${STEPS} steps of 50 rows. *Operations saved* are those of layers, without the predictors'. *Cut alike* is the same model trained without predictors and cut to
the share of units in every layer that saves as many operations, by their magnitude, without training after it.`,
  columns: COLUMNS,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: Object.fromEntries(
    ["dense: accuracy", ...MASSES.flatMap((mass) => COLUMNS.map((column) => `mass ${mass}: ${column}`))].map((name) => [
      name,
      bounds[name] ?? {},
    ]),
  ),
  run: (seed) =>
    inLab(async (lab) => {
      const bed = new AttackedDigits(lab.folder);
      await bed.digits("train.jsonl", seed, 2000, "train");
      await bed.digits("test.jsonl", seed, 500, "test");
      const [input, units, layers] = [SIDE ** 2, 64, 3];
      const net = { model_type: "mlp", input_size: input, hidden_sizes: Array(layers).fill(units), num_labels: 10 };
      const line = `${lab.fresh(net)} --data train.jsonl --batch-size 50 --steps ${STEPS} --lr 5e-3 --seed ${seed} --save-every 0 --overwrite`;
      const accuracyOf = async (model: string): Promise<number> =>
        JSON.parse(await bed.run("evaluate", `${model} --data test.jsonl --metric accuracy --json`)).accuracy;
      await bed.run("train", `${line} -o dense/`);
      const figures: Record<string, number> = { "dense: accuracy": await accuracyOf("dense/") };
      const cost = (n: number) => input * n + (layers - 1) * n * n + n * 10;
      for (const mass of MASSES) {
        await bed.run("train", `${line} --dynamic-width ftwt --mass ${mass} -o switched/`);
        const [row] = JSON.parse(
          await bed.run("evaluate", "switched/ --data test.jsonl --probe dynamic-width --json"),
        ).rows;
        const right = row.layers.map((layer: { right: number }) => layer.right);
        figures[`mass ${mass}: accuracy`] = await accuracyOf("switched/");
        figures[`mass ${mass}: operations saved`] = row.operations_saved;
        figures[`mass ${mass}: masks right`] = right.reduce((a: number, b: number) => a + b, 0) / right.length;
        const left = (1 - row.operations_saved) * cost(units);
        const many =
          Array.from({ length: units - 1 }, (_, i) => i + 1)
            .filter((n) => cost(n) <= left)
            .at(-1) ?? 1;
        await bed.run("compress", `width dense/ --neurons ${many / units} -o cut-${mass}/`);
        figures[`mass ${mass}: cut alike`] = await accuracyOf(`cut-${mass}/`);
      }
      return figures;
    }),
};
