import { normals } from "../../support/random.ts";
import { inLab } from "../curriculum-lab.ts";
import { type Bound, experimentOf } from "../experiment.ts";

const [INPUT, OUTPUTS, FACTORS] = [6, 8, 2] as const;
const [ROWS, TEST] = [300, 1000] as const;
const STUDENTS = {
  "labels, mse": "train --loss mse",
  "labels, mae": "train --loss mae",
  "output-mse": "distill --teacher tough/ --method output-mse",
  "assistive-regression": "distill --teacher tough/ --teacher tolerant/ --method assistive-regression",
} as const;
const bounds: Readonly<Record<string, Bound>> = {
  "assistive-regression − labels, mse": { below: 0 },
  "assistive-regression − output-mse": {},
};
const names = [...["tough teacher", "tolerant teacher", ...Object.keys(STUDENTS)].map((name) => `${name}: mae`)];

interface Row {
  readonly x: readonly number[];
  readonly y: readonly number[];
}

/** Numbers that two factors move together, beside a little of their own; with noise of heavy tails or without. */
function rowsOf(seed: number, count: number, noise: number): Row[] {
  const into = normals(7, INPUT * FACTORS);
  const out = normals(8, FACTORS * OUTPUTS);
  const own = normals(9, INPUT * OUTPUTS, 0.15);
  const inputs = normals(seed, count * INPUT);
  const [above, below] = [normals(seed + 1, count * OUTPUTS), normals(seed + 2, 2 * count * OUTPUTS)];
  return Array.from({ length: count }, (_, row) => {
    const x = [...inputs.subarray(row * INPUT, (row + 1) * INPUT)];
    const factors = Array.from({ length: FACTORS }, (_, f) =>
      Math.tanh(x.reduce((sum, v, i) => sum + v * into[i * FACTORS + f]!, 0)),
    );
    const y = Array.from({ length: OUTPUTS }, (_, k) => {
      const at = row * OUTPUTS + k;
      const tail = Math.sqrt((below[2 * at]! ** 2 + below[2 * at + 1]! ** 2) / 2); // Student's t of two degrees
      const moved = factors.reduce((sum, v, f) => sum + v * out[f * OUTPUTS + k]!, 0);
      const alone = x.reduce((sum, v, i) => sum + v * own[i * OUTPUTS + k]!, 0);
      return moved + Math.sin(alone) + (noise * above[at]!) / tail;
    });
    return { x, y };
  });
}

/** The rows with y in the subspace of its leading directions, found by iteration. */
function smoothed(rows: readonly Row[]): Row[] {
  const centre = Array.from({ length: OUTPUTS }, (_, k) => rows.reduce((sum, { y }) => sum + y[k]!, 0) / rows.length);
  const centred = rows.map(({ y }) => y.map((v, k) => v - centre[k]!));
  const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, v, k) => sum + v * b[k]!, 0);
  const basis: number[][] = [];
  for (let f = 0; f < FACTORS; f++) {
    let axis = [...normals(20 + f, OUTPUTS)];
    for (let round = 0; round < 100; round++) {
      const next = new Array<number>(OUTPUTS).fill(0);
      for (const y of centred) {
        const along = dot(y, axis);
        for (const [k, v] of y.entries()) next[k]! += along * v;
      }
      for (const other of basis) {
        const along = dot(next, other);
        for (const [k, v] of other.entries()) next[k]! -= along * v;
      }
      axis = next.map((v) => v / Math.sqrt(dot(next, next)));
    }
    basis.push(axis);
  }
  return rows.map(({ x }, row) => ({
    x,
    y: centre.map((v, k) => basis.reduce((sum, axis) => sum + dot(centred[row]!, axis) * axis[k]!, v)),
  }));
}

export const experiment = experimentOf({
  title: "`assistive-regression`: a tough and a tolerant teacher of numbers",
  about: `${OUTPUTS} numbers that ${FACTORS} hidden factors of ${INPUT} values move together, each with a little of its own; noise of Student's t of two degrees (0.3) on the
${ROWS} rows that are learnt, none on the ${TEST} of the test. Teachers are perceptrons of 64 and 64 units by the absolute error, the tough one on the rows, the
tolerant one on their first ${FACTORS} principal components; students have 16 units. Mean absolute errors. It is
better than labels by squares, about as good as labels by absolute errors, and behind squared distances to the one teacher.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: Object.fromEntries([...names, ...Object.keys(bounds)].map((name) => [name, bounds[name] ?? {}])),
  run: (seed) =>
    inLab(async (lab) => {
      const rows = rowsOf(100 * seed, ROWS, 0.3);
      lab.rows("rows", rows);
      lab.rows("smooth", smoothed(rows));
      lab.rows("test", rowsOf(100 * seed + 50, TEST, 0));
      const net = (sizes: readonly number[], name: string) =>
        lab.fresh(
          {
            ...{ model_type: "mlp", input_size: INPUT, hidden_sizes: sizes, num_labels: OUTPUTS },
            problem_type: "regression",
          },
          name,
        );
      const [large, small] = [net([64, 64], "large"), net([16], "small")];
      const asked = `--batch-size 50 --lr 5e-3 --weight-decay 0 --seed ${seed} --save-every 0 --overwrite`;
      const figures: Record<string, number> = {};
      const judge = async (name: string, model: string) => {
        const text = await lab.script("evaluate", `${model} --data test.jsonl --metric mae --json`);
        figures[`${name}: mae`] = (JSON.parse(text) as { mae: number }).mae;
      };
      for (const [name, data] of [
        ["tough", "rows"],
        ["tolerant", "smooth"],
      ] as const) {
        await lab.script("train", `${large} --data ${data}.jsonl ${asked} --loss mae --steps 400 -o ${name}/`);
        await judge(`${name} teacher`, `${name}/`);
      }
      for (const [name, line] of Object.entries(STUDENTS)) {
        const [script, ...options] = line.split(" ");
        await lab.script(script!, `${small} --data rows.jsonl ${asked} ${options.join(" ")} --steps 600 -o student/`);
        await judge(name, "student/");
      }
      const own = figures["assistive-regression: mae"]!;
      return {
        ...figures,
        "assistive-regression − labels, mse": own - figures["labels, mse: mae"]!,
        "assistive-regression − output-mse": own - figures["output-mse: mae"]!,
      };
    }),
});
