import { AttackedDigits, SIDE } from "../attacked-digits.ts";
import { inLab } from "../curriculum-lab.ts";
import type { Bound, Experiment } from "../experiment.ts";

const STEPS = 300;
const PREFERENCES = [1, 0.7, 0.5, 0.3, 0] as const;
const LAMBDAS = [0, 0.1, 1] as const;

const bounds: Readonly<Record<string, Bound>> = {};

export const experiment: Experiment = {
  title: "Two tasks, one of which is preferred (cikd)",
  about: `Rendered digits of ${SIDE} × ${SIDE} pixels, 1000 of each task and 250 held out: task A tells the ten digits apart, task B whether a digit is even, and of a
digit above 4. An mlp-tasks of a trunk of 48 and 32 units and a hidden layer of 24 before each head, widths of 1, 1/2 and 1/4, AdamW at 5e-3, ${STEPS} steps of 50 rows.
Settings are chosen by preference at 0.4 of the whole model's operations; accuracy of A by how much A counts. *Narrowest* is the narrowest setting, by the weight of the
features' distance. Accuracy of a task does not fall with how much it counts; against what the card expects, the narrowest setting is not worse without
the distance, and with a weight of 1 it is.`,
  columns: ["A", "B"],
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: Object.fromEntries(
    [
      ...PREFERENCES.flatMap((p) => [`A counts ${p}: A`, `A counts ${p}: B`]),
      ...LAMBDAS.flatMap((lambda) => [`narrowest, weight ${lambda}: A`, `narrowest, weight ${lambda}: B`]),
    ].map((name) => [name, bounds[name] ?? {}]),
  ),
  run: (seed) =>
    inLab(async (lab) => {
      const bed = new AttackedDigits(lab.folder);
      const [train, test] = [
        await bed.digits("train.jsonl", seed, 2000, "train"),
        await bed.digits("test.jsonl", seed, 500, "test"),
      ];
      const halves = (rows: typeof train, name: string) => {
        lab.rows(
          `a-${name}`,
          rows.filter((_, i) => i % 2 === 0),
        );
        lab.rows(
          `b-${name}`,
          rows.filter((_, i) => i % 2 === 1).map(({ x, label }) => ({ x, label: (label % 2) + 2 * Number(label > 4) })),
        );
      };
      halves(train, "train");
      halves(test, "test");
      const net = {
        ...{ model_type: "mlp-tasks", num_tasks: 2, input_size: SIDE ** 2, hidden_sizes: [48, 32], num_labels: 10 },
        ...{ task_heads: true, task_head_sizes: [24, 24] },
      };
      const whole = 2 * (SIDE ** 2 * 48 + 48 * 32 + 2 * (32 * 24 + 24 * 10));
      const [rows, held] = ["train", "test"].map((name) => `--data A=a-${name}.jsonl --data B=b-${name}.jsonl`);
      const figures: Record<string, number> = {};
      const judge = async (row: string, options: string) => {
        await bed.run("compress", `extract out/ ${options} --widths 1,0.5,0.25 ${held} --overwrite -o cut/`);
        const found = JSON.parse(await bed.run("evaluate", `cut/ ${held} --metric accuracy --json`)) as {
          rows: { group: string; value: number }[];
        };
        for (const { group, value } of found.rows)
          if (group === "A" || group === "B") figures[`${row}: ${group}`] = value;
      };
      const least = 2 * (SIDE ** 2 * 12 + 12 * 8 + 2 * (8 * 6 + 6 * 10));
      for (const lambda of LAMBDAS) {
        const line = `${lab.fresh(net)} ${rows} --batch-size 50 --steps ${STEPS} --lr 5e-3 --seed ${seed} --save-every 0 --overwrite`;
        await bed.run("train", `${line} --supernet cikd --widths 1,0.5,0.25 --supernet-invariance ${lambda} -o out/`);
        await judge(`narrowest, weight ${lambda}`, `--prefer A=0.5,B=0.5 --budget ${least}`);
        if (lambda !== 0.1) continue;
        for (const p of PREFERENCES)
          await judge(`A counts ${p}`, `--prefer A=${p},B=${1 - p} --budget ${Math.round(0.4 * whole)}`);
      }
      return figures;
    }),
};
