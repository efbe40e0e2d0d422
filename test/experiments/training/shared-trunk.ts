import { readFileSync } from "node:fs";
import { join } from "node:path";
import { runScript } from "../../support/command.ts";
import { inLab } from "../curriculum-lab.ts";
import type { Bound, Experiment } from "../experiment.ts";
import { Mlp, normal } from "../support.ts";

const [WIDTH, TASKS, ROWS, HELD] = [5, 4, 400, 400];
/** Rows of a new task. */
const SIZES = [60, 200];
const [STEPS, EVERY, ENOUGH] = [240, 10, 0.2];
const RATES = [1e-2, 3e-2, 1e-1];
/** How far into a teacher's bends the latent numbers go, of the rule of the trunk's tasks and of the new one's. */
const RULES = {
  "simple rule": { trunk: 1.5, other: false },
  "bent rule": { trunk: 3, other: false },
  "another bent rule": { trunk: 3, other: true },
} as const;
const COLUMNS = ["steps", "error at the end"] as const;
const ROWS_OF_TABLE = [
  "trunk, simple",
  "trunk, bent",
  ...Object.keys(RULES).flatMap((rule) =>
    SIZES.flatMap((size) => ["new front", "scratch"].map((way) => `${rule}, ${size} rows, ${way}`)),
  ),
];

/** A random rotation: Gram and Schmidt of normal columns. */
function rotation(seed: number): number[][] {
  const draw = normal(seed);
  const rows: number[][] = [];
  while (rows.length < WIDTH) {
    let row = Array.from({ length: WIDTH }, () => draw());
    for (const other of rows) {
      const along = row.reduce((sum, v, i) => sum + v * other[i]!, 0);
      row = row.map((v, i) => v - along * other[i]!);
    }
    const length = Math.hypot(...row);
    rows.push(row.map((v) => v / length));
  }
  return rows;
}

interface Teacher {
  readonly net: Mlp;
  readonly bent: number;
}

/** Rows of one task: its rotation of what a teacher answers, scaled so that answers have variance 1. */
function rowsOf(teacher: Teacher, turn: readonly (readonly number[])[], seed: number, count: number) {
  const draw = normal(seed);
  const rows = Array.from({ length: count }, () => {
    const z = Array.from({ length: WIDTH }, () => draw());
    return { x: turn.map((row) => row.reduce((sum, v, i) => sum + v * z[i]!, 0)), y: answer(teacher, z) };
  });
  return rows.map(({ x, y }) => ({ x, y: [y] }));
}

/** The product of two outputs: no part of it is linear. */
function answer({ net, bent }: Teacher, z: readonly number[]): number {
  const [a = 0, b = 0] = net.forward(Float64Array.from(z, (v) => bent * v)).at(-1)!;
  return a * b;
}

/** The mean and the deviation of what a teacher answers. */
function scaleOf(teacher: Teacher) {
  const draw = normal(77);
  const ys = Array.from({ length: 2000 }, () =>
    answer(
      teacher,
      Array.from({ length: WIDTH }, () => draw()),
    ),
  );
  const mean = ys.reduce((a, b) => a + b, 0) / ys.length;
  return { mean, deviation: Math.sqrt(ys.reduce((sum, y) => sum + (y - mean) ** 2, 0) / ys.length) };
}

const bounds: Readonly<Record<string, Bound>> = {
  "simple rule, 200 rows, new front: error at the end": { below: 0.2 },
};

export const experiment: Experiment = {
  title: "A trunk that tasks share",
  about: `Tasks whose ${WIDTH} inputs are rotations of the same latent numbers, on which one rule answers all: the product of two outputs of a random perceptron,
scaled to variance 1, that is *simple* (latent numbers times 1.5) or *bent* (times 3). \`mlp-tasks\` learns ${TASKS} of them (${ROWS} rows each; a map for each, hidden
layers of 32 and the head shared; 600 steps of 50 rows). Then a new task of ${SIZES.join(" or ")} rows, of the same rule or of another: \`--new-front\` trains its map
alone; *scratch* is the same network, new, trained whole. *Steps* until the squared error on ${HELD} new rows is below ${ENOUGH} (looked at every ${EVERY}; ${STEPS} where it never
is), at the best of the rates ${RATES.join(", ")}; *trunk*: its error on new rows of its own tasks.`,
  columns: COLUMNS,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: Object.fromEntries(
    ROWS_OF_TABLE.flatMap((row) => COLUMNS.map((column) => [`${row}: ${column}`, bounds[`${row}: ${column}`] ?? {}])),
  ),
  run: (seed) =>
    inLab(async (lab) => {
      const train = async (line: string) => {
        const { err, code } = await runScript("train", `${line} --save-every 0 --overwrite -q`.split(" "), lab.folder);
        if (code !== 0) throw new Error(`${line}\n${err}`);
      };
      const scaled = (number: number, bent: number) => {
        const teacher = { net: Mlp.random([WIDTH, 12, 2], 900 * seed + number), bent };
        const { mean, deviation } = scaleOf(teacher);
        return (task: number, first: number, count: number) =>
          rowsOf(teacher, rotation(1000 * seed + 10 * number + task), 50_000 * seed + 1000 * task + first, count).map(
            ({ x, y }) => ({ x, y: y.map((value) => (value - mean) / deviation) }),
          );
      };
      const net = {
        ...{ model_type: "mlp-tasks", num_tasks: TASKS, input_size: WIDTH, front_size: WIDTH, hidden_sizes: [32, 32] },
        ...{ num_labels: 1, problem_type: "regression" },
      };
      const fit = `--loss mse --batch-size 50 --weight-decay 0 --seed ${seed}`;
      const figures: Record<string, number> = {};
      let runs = 0;
      const course = async (line: string) => {
        const log = `course-${runs++}.log`; // a log is added to, so that each run has its own
        await train(`${line} --steps ${STEPS} --log ${log} -o out/`);
        return readFileSync(join(lab.folder, log), "utf8")
          .trimEnd()
          .split("\n")
          .map((text) => JSON.parse(text))
          .filter(({ event }) => event === "eval")
          .map(({ step, value }) => ({ step: Number(step), value: Number(value) }));
      };
      for (const [name, bent] of [
        ["simple", RULES["simple rule"].trunk],
        ["bent", RULES["bent rule"].trunk],
      ] as const) {
        const rule = scaled(0, bent);
        const data = Array.from({ length: TASKS }, (_, t) => `--data ${lab.rows(`task-${t}`, rule(t, 0, ROWS))}`);
        await train(`${lab.fresh(net, "trunk")} ${data.join(" ")} ${fit} --lr 1e-2 --steps 600 -o trunk-${bent}/`);
        const held = Array.from({ length: TASKS }, (_, t) => `--data ${lab.rows(`held-${t}`, rule(t, 500, HELD))}`);
        const asked = `trunk-${bent}/ ${held.join(" ")} --metric mse --json -q`;
        const { text } = await runScript("evaluate", asked.split(" "), lab.folder);
        figures[`trunk, ${name}: error at the end`] = (JSON.parse(text) as { rows: { value: number }[] })
          .rows[0]!.value;
      }
      const compared = Object.entries(RULES).flatMap(([name, { trunk, other }]) =>
        SIZES.map((size) => ({ name: `${name}, ${size} rows`, trunk, teacher: scaled(other ? 1 : 0, trunk), size })),
      );
      for (const { name, trunk, teacher, size } of compared) {
        const rows = lab.rows("new", teacher(TASKS, 0, size));
        const held = lab.rows("held", teacher(TASKS, 500, HELD));
        for (const [way, from] of [
          ["new front", `trunk-${trunk}/ --new-front`],
          ["scratch", lab.fresh({ ...net, num_tasks: 1 }, "scratch")],
        ] as const) {
          let best = { steps: Number.POSITIVE_INFINITY, end: Number.POSITIVE_INFINITY };
          for (const rate of RATES) {
            const line = `${from} --data ${rows} --eval-data ${held} --eval-every ${EVERY} ${fit} --schedule constant`;
            const seen = await course(`${line} --lr ${rate}`);
            const steps = seen.find(({ value }) => value < ENOUGH)?.step ?? STEPS;
            const end = seen.at(-1)!.value;
            if (steps < best.steps || (steps === best.steps && end < best.end)) best = { steps, end };
          }
          figures[`${name}, ${way}: steps`] = best.steps;
          figures[`${name}, ${way}: error at the end`] = best.end;
        }
      }
      return figures;
    }),
};
