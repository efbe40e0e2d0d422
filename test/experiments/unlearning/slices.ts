import { inLab } from "../curriculum-lab.ts";
import type { Bound, Experiment } from "../experiment.ts";

/** Shards, slices and orders of a bank. */
const BANKS: Readonly<Record<string, string>> = {
  "one adapter on all rows": "--shards 1 --slices 1",
  "four adapters on a shard each": "--shards 4 --slices 1",
  "one shard of four slices": "--shards 1 --slices 4",
  "four shards of four slices, one order": "--shards 4 --slices 4",
  "four shards of four slices, four orders": "--shards 4 --slices 4 --budget 4",
};
const DELETIONS = [0, 8, 16] as const;
const ROWS = ["the model as it was", ...Object.keys(BANKS)];
const COLUMNS = DELETIONS.flatMap((count) =>
  count === 0 ? ["accuracy"] : [`accuracy, ${count} deleted`, `shards left, ${count} deleted`],
);

const bounds: Readonly<Record<string, Bound>> = {
  "the model as it was: accuracy": { below: 0.48 },
  "one adapter on all rows: accuracy": { above: 0.52 },
  "one adapter on all rows: shards left, 8 deleted": { is: 0 },
  "four shards of four slices, four orders: accuracy": { above: 0.52 },
  "four shards of four slices, four orders: accuracy, 8 deleted": { above: 0.46 },
  "four shards of four slices, four orders: shards left, 16 deleted": { above: 1 },
};

export const experiment: Experiment = {
  title: "Banks of shards and slices before and after deletions",
  about: `Clouds of ten classes in 20 dimensions that overlap, 1000 rows. A perceptron of four hidden layers of 32 was trained on 120 others; adapters of rank
8 and its head then learn the rows, 10 epochs a stage. Accuracy on new rows, of the mean of all shards: with all rows, and when 8 and 16 of them,
drawn at random, were deleted, without any training. A bank without a shard left answers nothing; its accuracy is that of the model as it was.`,
  columns: COLUMNS,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: Object.fromEntries(
    ROWS.flatMap((row) => COLUMNS.map((column) => [`${row}: ${column}`, bounds[`${row}: ${column}`] ?? {}])),
  ),
  run: (seed) =>
    inLab(async (lab) => {
      const rowsOf = async (split: string, size: number, own = seed) =>
        (
          await lab.script(
            "data",
            `blobs --classes 10 --dims 20 --separation 3 --split ${split} --size ${size} --seed ${own}`,
          )
        )
          .trim()
          .split("\n")
          .map((line) => JSON.parse(line) as object);
      const [all, fresh] = [await rowsOf("train", 1120), await rowsOf("test", 1000)];
      const learnt = all.slice(120);
      lab.rows("few", all.slice(0, 120));
      lab.rows("rows", learnt);
      lab.rows("test", fresh);
      const start = lab.fresh({ model_type: "mlp", input_size: 20, hidden_sizes: [32, 32, 32, 32], num_labels: 10 });
      await lab.script(
        "train",
        `${start} --data few.jsonl --epochs 30 --lr 3e-3 --seed ${seed} --save-every 0 -o base/`,
      );
      const accuracy = async (model: string) => {
        const found = JSON.parse(
          await lab.script("evaluate", `${model} --data test.jsonl --metric accuracy --bootstrap 0 --json`),
        ) as { accuracy: number };
        return found.accuracy;
      };
      const before = await accuracy("base");
      const figures: Record<string, number> = {};
      for (const [i, [row, shape]] of Object.entries(BANKS).entries()) {
        const how = "--epochs 10 --batch-size 32 --lr 1e-2 --lora-rank 8";
        await lab.script("train", `s3t base --data rows.jsonl ${shape} ${how} --seed ${seed} -o bank-${i}/`);
        for (const count of DELETIONS) {
          if (count === 0) {
            figures[`${row}: accuracy`] = await accuracy(`base+bank-${i}`);
            continue;
          }
          // Rows in the order in which they were drawn are rows at random.
          lab.rows("gone", learnt.slice(0, count));
          const told = JSON.parse(
            await lab.script("unlearn", `s3t bank-${i} --forget gone.jsonl -o left-${i}-${count}/ --json`),
          ) as { stages: number[]; spent: number };
          const left = told.stages.length - told.spent;
          figures[`${row}: shards left, ${count} deleted`] = left;
          figures[`${row}: accuracy, ${count} deleted`] =
            left === 0 ? before : await accuracy(`base+left-${i}-${count}`);
        }
      }
      for (const column of COLUMNS)
        figures[`the model as it was: ${column}`] = column.startsWith("accuracy") ? before : 0;
      return figures;
    }),
};
