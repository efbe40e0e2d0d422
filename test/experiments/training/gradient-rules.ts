import { readFileSync } from "node:fs";
import { dataOf } from "../../support/checkpoint-values.ts";
import { inLab } from "../curriculum-lab.ts";
import type { Bound, Experiment } from "../experiment.ts";
import { Mlp, normal } from "../support.ts";

const RULES = {
  "all rows alike": "",
  equal: "--gradient-rule equal",
  pcgrad: "--gradient-rule pcgrad",
  mgda: "--gradient-rule mgda",
  pareto: "--gradient-rule pareto",
} as const;
const [WIDTH, TRAIN, TEST] = [10, 400, 400];
const COLUMNS = ["rise", "distance", "small task, R²", "large task, R²"] as const;

/** f_1 = 100 |w - a|^2 and f_2 = |w - b|^2 as regressions: of 10 w to 10 a, and of w to b. */
function quadratics(seed: number) {
  const draw = normal(3000 * seed);
  const point = () => [draw(), draw()] as const;
  return { a: point(), b: point() };
}
type Point = readonly [number, number];
const square = (w: Point, to: Point) => (w[0] - to[0]) ** 2 + (w[1] - to[1]) ** 2;

/** How far w is from the stretch between a and b: the Pareto set. */
function fromStretch(w: Point, a: Point, b: Point): number {
  const along = ((w[0] - a[0]) * (b[0] - a[0]) + (w[1] - a[1]) * (b[1] - a[1])) / square(b, a);
  const t = Math.min(1, Math.max(0, along));
  return Math.sqrt(square(w, [a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])]));
}

/**
 * Rows of two tasks that share their inputs; the last two numbers say the task, and the second has labels ten times as
 * large.
 */
function tasks(seed: number, first: number, count: number) {
  const draw = normal(90_000 * seed + first);
  const teachers = [1, 2].map((task) => Mlp.random([WIDTH, 16, 1], 500 * seed + task));
  return teachers.map((teacher, task) =>
    Array.from({ length: count }, () => {
      const x = Array.from({ length: WIDTH }, () => draw());
      const y = teacher.forward(Float64Array.from(x)).at(-1)![0]!;
      return { x: [...x, task === 0 ? 1 : 0, task], y: [(task === 0 ? 1 : 10) * (y + 0.1 * draw())] };
    }),
  );
}

const bounds: Readonly<Record<string, Bound>> = {
  "pareto: rise": { below: 1e-3 },
  "mgda: rise": { below: 1e-3 },
  "pareto: distance": { below: 0.1 },
  "equal: rise": { above: 0.01 },
};

export const experiment: Experiment = {
  title: "Gradients of groups of rows",
  about: `*Two quadratics* of two weights, one a hundred times larger, 100 |w - a|² and |w - b|², as the losses of two groups, by plain descent (300
steps at 0.002 of the mean) from near b: *rise* is how far the loss of b is above its start at its highest, in units of |a - b|², *distance* how far the
end is from the Pareto set, the stretch between a and b. *Two tasks* of one perceptron (inputs of ${WIDTH} numbers and which task; hidden layers of 32, AdamW at
3e-3, 100 rows a step, 60 epochs): teachers of their own, ${TRAIN} rows each, mean squared errors of which the second is a hundred times larger; R² on
${TEST} new rows.`,
  columns: COLUMNS,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: Object.fromEntries(
    Object.keys(RULES).flatMap((row) =>
      COLUMNS.map((column) => [`${row}: ${column}`, bounds[`${row}: ${column}`] ?? {}]),
    ),
  ),
  run: (seed) =>
    inLab(async (lab) => {
      const run = lab.script;
      const { a, b } = quadratics(seed);
      const [one, two] = [
        lab.rows("large", [{ x: [10], y: a.map((x) => 10 * x) }]),
        lab.rows("small", [{ x: [1], y: b }]),
      ];
      const [train, held] = [tasks(seed, 0, TRAIN), tasks(seed, 500, TEST)];
      const data = ["small-task", "large-task"].map((name, i) => lab.rows(name, train[i]!));
      const asked = ["small-held", "large-held"].map((name, i) => lab.rows(name, held[i]!));
      const figures: Record<string, number> = {};
      const point = { model_type: "mlp", input_size: 1, hidden_sizes: [], num_labels: 2, problem_type: "regression" };
      const net = { ...point, input_size: WIDTH + 2, hidden_sizes: [32, 32], num_labels: 1 };
      // The start is near b: descent on the small loss alone, from what was drawn.
      await run(
        "train",
        `${lab.fresh(point)} --freeze *.bias --data ${two} --loss mse --steps 60 --batch-size 1 --optimizer sgd --momentum 0 --lr 0.05 --schedule constant --weight-decay 0 --seed ${seed} --save-every 0 -o start/`,
      );
      for (const [name, rule] of Object.entries(RULES)) {
        const log = `${name.replaceAll(" ", "-")}.log`;
        const descent = `start/ --freeze *.bias --data ${one} --data ${two} --loss mse --steps 300 --batch-size 2 --optimizer sgd --momentum 0 --lr 0.002 --schedule constant --weight-decay 0`;
        await run(
          "train",
          `${descent} --eval-data ${two} --eval-every 1 ${rule} --log ${log} --save-every 0 --overwrite -o point/`.replace(
            / +/g,
            " ",
          ),
        );
        const [x, y] = new Float32Array(
          new Uint8Array(dataOf(readFileSync(`${lab.folder}/point/model.safetensors`))).buffer,
        );
        const losses = readFileSync(`${lab.folder}/${log}`, "utf8")
          .trimEnd()
          .split("\n")
          .map((line) => JSON.parse(line))
          .filter((event) => event.event === "eval" && event.group !== undefined)
          .map(({ value }) => Number(value));
        figures[`${name}: rise`] = (Math.max(...losses) - losses[0]!) / square(a, b);
        figures[`${name}: distance`] = fromStretch([x!, y!], a, b);
        const line = `${lab.fresh(net)} --data small=${data[0]} --data large=${data[1]} --loss mse --epochs 60 --batch-size 100 --lr 3e-3 --weight-decay 0 --seed ${seed}`;
        await run("train", `${line} ${rule} --save-every 0 --overwrite -o out/`.replace(/ +/g, " "));
        const text = await run("evaluate", `out/ --data small=${asked[0]} --data large=${asked[1]} --metric r2 --json`);
        const found = (JSON.parse(text) as { rows: { group: string; value: number }[] }).rows;
        for (const group of ["small", "large"])
          figures[`${name}: ${group} task, R²`] = found.find((row) => row.group === group)!.value;
      }
      return figures;
    }),
};
