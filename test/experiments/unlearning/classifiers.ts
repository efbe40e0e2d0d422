import { inLab } from "../curriculum-lab.ts";
import type { Bound, Experiment } from "../experiment.ts";

const METHODS: Readonly<Record<string, string>> = {
  "fine-tune": "",
  "neg-grad": "--method neg-grad --ascent-epochs 3 --steps 80 --lr 1e-3",
  "grad-diff": "--method grad-diff --forget-weight 0.1 --steps 60 --lr 1e-3",
  "random-labels": "--method random-labels --steps 60 --lr 1e-3",
  salun: "--method salun --steps 60 --lr 1e-3",
  "bad-teacher": "--method bad-teacher --steps 60 --lr 1e-3",
  scrub: "--method scrub --max-passes 2 --steps 80 --lr 1e-3",
  ssd: "--method ssd --fisher batch --alpha 5",
};
const ROWS = ["the model", ...Object.keys(METHODS), "gold"];
const COLUMNS = [
  "forget",
  "retain",
  "test, others",
  "ZRF, forget",
  "MIA, forget",
  "distance to gold, forget",
  "distance to gold, others",
  "forget after 20 rows again",
  "R",
] as const;
type Column = (typeof COLUMNS)[number];

const bounds: Readonly<Record<string, Bound>> = {
  "the model: forget": { above: 0.9 },
  "gold: forget": { is: 0 },
  "gold: distance to gold, forget": { is: 0 },
  "neg-grad: forget": { below: 0.1 },
  "random-labels: forget": { below: 0.2 },
  "bad-teacher: forget": { below: 0.3 },
  "scrub: forget": { below: 0.1 },
};

interface Value {
  readonly model: string;
  readonly group: string;
  readonly metric: string;
  readonly value: number;
}

export const experiment: Experiment = {
  title: "Classifiers that forget a class, by method and metric",
  about: `Clouds of ten classes in 20 dimensions, 2000 rows, a perceptron of two hidden layers of 128. The rows of class 3 are to be forgotten. Every
method is given all other rows, 64 of either set a step; *fine-tune* learns the others for 5 epochs more, and *gold* is trained on them alone. Accuracies
of rows of the class and of the others; *test* rows are new. *ZRF*, *MIA* and the *distances* are \`zrf\`, \`mia-entropy\` and \`activation-distance\`; of
ZRF and MIA gold's value is the goal. The last two: accuracy on the class after 20 of its rows were learnt again for 5 epochs, and how this compares
with gold (1: no sooner than one that never saw them).`,
  columns: COLUMNS,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: Object.fromEntries(
    ROWS.flatMap((row) => COLUMNS.map((column) => [`${row}: ${column}`, bounds[`${row}: ${column}`] ?? {}])),
  ),
  run: (seed) =>
    inLab(async (lab) => {
      const parts = async (split: string, size: number) => {
        const text = await lab.script(
          "data",
          `blobs --classes 10 --dims 20 --separation 4 --split ${split} --size ${size} --seed ${seed}`,
        );
        const rows = text
          .trim()
          .split("\n")
          .map((line) => JSON.parse(line) as { label: number });
        lab.rows(`${split}-all`, rows);
        lab.rows(
          `${split}-forget`,
          rows.filter(({ label }) => label === 3),
        );
        lab.rows(
          `${split}-others`,
          rows.filter(({ label }) => label !== 3),
        );
      };
      await parts("train", 2000);
      await parts("test", 1000);
      const start = lab.fresh({ model_type: "mlp", input_size: 20, hidden_sizes: [128, 128], num_labels: 10 });
      const train = (begin: string, data: string, out: string, epochs = 12) =>
        lab.script(
          "train",
          `${begin} --data ${data}.jsonl --epochs ${epochs} --batch-size 64 --lr 3e-3 --seed ${seed} --save-every 0 -o ${out}/`,
        );
      await train(start, "train-all", "model");
      await train(start, "train-others", "gold");
      await train("model", "train-others", "fine-tune", 5);
      for (const [name, line] of Object.entries(METHODS))
        if (line !== "")
          await lab.script(
            "unlearn",
            `model ${line} --forget train-forget.jsonl --retain train-others.jsonl --batch-size 64 --seed ${seed} -o ${name}/`,
          );
      const models = ["model", ...Object.keys(METHODS), "gold"].join(" ");
      const groups =
        "--data forget=train-forget.jsonl --data retain=train-others.jsonl --data holdout=test-others.jsonl";
      const values = async (what: string) =>
        (
          JSON.parse(await lab.script("evaluate", `${models} --gold gold ${groups} ${what} --json`)) as {
            rows: Value[];
          }
        ).rows;
      const found = await values("--metric accuracy,zrf,mia-entropy,activation-distance --bootstrap 0");
      const again = (
        JSON.parse(
          await lab.script(
            "evaluate",
            `${models} --gold gold --data forget=train-forget.jsonl --attack relearn --relearn-rows 20 --relearn-epochs 5 --relearn-lr 1e-3 --metric accuracy --json`,
          ),
        ) as { rows: { model: string; values: number[]; r?: number[] }[] }
      ).rows;
      const figures: Record<string, number> = {};
      for (const row of ROWS) {
        const model = row === "the model" ? "model" : row;
        const of = (metric: string, group: string) =>
          found.find((one) => one.model === model && one.metric === metric && one.group === group)!.value;
        const relearnt = again.find((one) => one.model === model)!;
        const cells: Record<Column, number> = {
          forget: of("accuracy", "forget"),
          retain: of("accuracy", "retain"),
          "test, others": of("accuracy", "holdout"),
          "ZRF, forget": of("zrf", "forget"),
          "MIA, forget": of("mia-entropy", "all"),
          "distance to gold, forget": of("activation-distance", "forget"),
          "distance to gold, others": of("activation-distance", "holdout"),
          "forget after 20 rows again": relearnt.values.at(-1)!,
          R: relearnt.r!.at(-1)!,
        };
        for (const column of COLUMNS) figures[`${row}: ${column}`] = cells[column];
      }
      return figures;
    }),
};
