import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { inLab } from "../curriculum-lab.ts";
import type { Bound, Experiment } from "../experiment.ts";

const STARTS = [101, 102, 103] as const;
const WAYS = {
  "backward alone (gamma 0, KIP)": "--gamma 0",
  "both ways (bidirectional)": "",
  "forward above all (gamma 1000)": "--gamma 1000 --gamma-lr 0 --rows-lr 0.02 --rows-lr-lr 0",
} as const;
const COLUMNS = ["linear probe", "perceptron", "auxiliary"] as const;
const bounds: Readonly<Record<string, Bound>> = {
  "both ways − real rows: linear probe": { above: 0.02 },
  "both ways − real rows: perceptron": { above: 0.01 },
  "both ways − gamma 1000: linear probe": {},
};

export const experiment: Experiment = {
  title: "`distill --target data --method bidirectional`: closed forms both ways",
  about: `1000 rendered digits of 8 × 8 pixels, and a perceptron that learnt them, whose last hidden units are the features: 10 rows of each class are
made in 100 steps. *Linear probe* is the accuracy on 1000 held-out digits of linear models of the pixels that learn these rows alone, *perceptron* that
of new ones of 32 units (AdamW, 300 steps; means of three), *auxiliary* the loss of the auxiliary model at the end. Real rows are 10 of each class.`,
  columns: COLUMNS,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: Object.fromEntries(
    [
      ...["real rows", ...Object.keys(WAYS)].flatMap((row) => COLUMNS.map((column) => `${row}: ${column}`)),
      ...Object.keys(bounds),
    ].map((name) => [name, bounds[name] ?? {}]),
  ),
  run: (seed) =>
    inLab(async (lab) => {
      const digits = `glyphs --canvas 8 --shift 0 --rotation 20 --noise 0.4 --size 1000 --seed ${seed}`;
      await lab.script("data", `${digits} -o real.jsonl`);
      await lab.script("data", `${digits} --split test -o test.jsonl`);
      const lines = readFileSync(join(lab.folder, "real.jsonl"), "utf8").split("\n");
      writeFileSync(join(lab.folder, "few.jsonl"), `${lines.slice(0, 100).join("\n")}\n`);
      const net = { model_type: "mlp", input_size: 64, num_labels: 10 };
      const nets = {
        "linear probe": lab.fresh({ ...net, hidden_sizes: [] }, "flat"),
        perceptron: lab.fresh({ ...net, hidden_sizes: [32] }, "small"),
      };
      const learning = "--batch-size 100 --steps 300 --lr 5e-3 --save-every 0 --overwrite";
      const figures: Record<string, number> = {};
      const judge = async (name: string, rows: string) => {
        for (const [column, init] of Object.entries(nets)) {
          let sum = 0;
          for (const start of STARTS) {
            await lab.script("train", `${init} --data ${rows} ${learning} --seed ${start} -o fresh/`);
            const text = await lab.script("evaluate", "fresh/ --data test.jsonl --metric accuracy --json");
            sum += (JSON.parse(text) as { accuracy: number }).accuracy;
          }
          figures[`${name}: ${column}`] = sum / STARTS.length;
        }
      };
      await lab.script("train", `${nets.perceptron} --data real.jsonl ${learning} --seed ${seed} -o whole/`);
      await judge("real rows", "few.jsonl");
      for (const [name, options] of Object.entries(WAYS)) {
        const line = `--target data --method bidirectional whole/ --data real.jsonl --seed ${seed} ${options} --json`;
        const told = JSON.parse(await lab.script("distill", `${line} -o made.jsonl`)) as { auxiliary: number };
        figures[`${name}: auxiliary`] = told.auxiliary;
        await judge(name, "made.jsonl");
      }
      const own = (column: string) => figures[`both ways (bidirectional): ${column}`]!;
      return {
        ...figures,
        "both ways − real rows: linear probe": own("linear probe") - figures["real rows: linear probe"]!,
        "both ways − real rows: perceptron": own("perceptron") - figures["real rows: perceptron"]!,
        "both ways − gamma 1000: linear probe":
          own("linear probe") - figures["forward above all (gamma 1000): linear probe"]!,
      };
    }),
};
