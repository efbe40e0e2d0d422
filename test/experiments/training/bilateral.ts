import { inLab } from "../curriculum-lab.ts";
import type { Bound, Experiment } from "../experiment.ts";
import { Mlp, normal } from "../support.ts";

const [WIDTH, TRAIN, TEST] = [8, 400, 4000];
const COLUMNS = ["mse", "mae"] as const;
const ROWS = ["left", "right", "halves", "fused", "all slowly", "one network"] as const;

/** Numbers with skewed noise, whose mean and median are apart: the best guess depends on the loss. */
function rowsOf(seed: number, first: number, count: number) {
  const draw = normal(90_000 * seed + first);
  const teacher = Mlp.random([WIDTH, 8, 1], 900 * seed);
  return Array.from({ length: count }, () => {
    const x = Array.from({ length: WIDTH }, () => draw());
    const [clean] = teacher.forward(Float64Array.from(x)).at(-1)!;
    return { x, y: 2 * clean! + Math.exp(1.2 * draw()) };
  });
}

/** Both halves together are near the better half on either side. */
const bounds: Readonly<Record<string, Bound>> = {
  "halves: mse": { below: 18.5 },
  "halves: mae": { below: 1.85 },
  "fused: mse": { below: 18.8 },
  "fused: mae": { below: 1.8 },
};

export const experiment: Experiment = {
  title: "Two halves that learn by different losses",
  about: `A number to predict from ${WIDTH}, with skewed noise; ${TRAIN} rows, AdamW at 3e-3, 30 epochs. Two networks of two hidden layers of 16, each
trained alone: *left* by \`mse\`, *right* by \`mae\`. \`merge --method concat\` makes *halves* of them: blocks beside each other, nothing between them, and
the mean of what they say. *fused* trains the head of both by \`huber\` for 5 epochs more, *all slowly* every weight at a tenth of the rate, so that
connections between the halves grow from 0. *one network* has the width of both and learns by \`huber\` from the start. Errors on ${TEST} new rows.`,
  columns: COLUMNS,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: Object.fromEntries(
    ROWS.flatMap((row) => COLUMNS.map((column) => [`${row}: ${column}`, bounds[`${row}: ${column}`] ?? {}])),
  ),
  run: (seed) =>
    inLab(async (lab) => {
      const run = lab.script;
      const [data, held] = [lab.rows("train", rowsOf(seed, 0, TRAIN)), lab.rows("held", rowsOf(seed, 500, TEST))];
      const net = (width: number) =>
        lab.fresh({
          ...{ model_type: "mlp", input_size: WIDTH, hidden_sizes: [width, width], num_labels: 1 },
          problem_type: "regression",
        });
      const fit = `--data ${data} --batch-size 40 --weight-decay 0 --save-every 0`;
      const whole = `${fit} --epochs 30 --lr 3e-3`;
      await run("train", `${net(16)} ${whole} --loss mse --seed ${seed} -o left/`);
      await run("train", `${net(16)} ${whole} --loss mae --seed ${seed + 100} -o right/`);
      await run("merge", "left/ right/ --method concat -o halves/");
      const more = `${fit} --epochs 5 --loss huber --seed ${seed}`;
      await run("train", `halves/ ${more} --lr 3e-3 --train-only classifier.* -o fused/`);
      await run("train", `halves/ ${more} --lr 3e-4 -o all-slowly/`);
      await run("train", `${net(32)} ${whole} --loss huber --seed ${seed} -o one-network/`);
      const folders = ROWS.map((row) => `${row.replaceAll(" ", "-")}/`);
      const text = await run("evaluate", `${folders.join(" ")} --data ${held} --metric mse,mae --json`);
      const { rows } = JSON.parse(text) as { rows: { model: string; metric: string; value: number }[] };
      return Object.fromEntries(
        ROWS.flatMap((row, i) =>
          COLUMNS.map((column) => [
            `${row}: ${column}`,
            rows.find(({ model, metric }) => model === folders[i] && metric === column)!.value,
          ]),
        ),
      );
    }),
};
