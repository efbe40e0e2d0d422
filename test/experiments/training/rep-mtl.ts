import { inLab } from "../curriculum-lab.ts";
import type { Bound, Experiment } from "../experiment.ts";
import { Mlp, normal } from "../support.ts";

const [WIDTH, TRAIN, TEST] = [10, 120, 1000];
const LOSSES = {
  mse: "mse",
  "tsr 0.1": "rep-mtl --rep-tsr 0.1 --rep-csa 0",
  "csa 0.1": "rep-mtl --rep-tsr 0 --rep-csa 0.1",
  "both 0.1": "rep-mtl --rep-tsr 0.1 --rep-csa 0.1",
  "both 0.02": "rep-mtl --rep-tsr 0.02 --rep-csa 0.02",
} as const;
const COLUMNS = ["R²", "gain"] as const;

/** Three tasks on one input: two are mixtures of the same four hidden units, the third has a network of its own. */
function rowsOf(seed: number, first: number, count: number) {
  const draw = normal(80_000 * seed + first);
  const [shared, other] = [Mlp.random([WIDTH, 8, 2], 700 * seed), Mlp.random([WIDTH, 8, 1], 700 * seed + 1)];
  return Array.from({ length: count }, () => {
    const x = Array.from({ length: WIDTH }, () => draw());
    const at = Float64Array.from(x);
    const clean = [...shared.forward(at).at(-1)!, ...other.forward(at).at(-1)!];
    return { x, y: clean.map((value) => 2 * value + 0.3 * draw()) };
  });
}

const bounds: Readonly<Record<string, Bound>> = {};

export const experiment: Experiment = {
  title: "Regularisers of task saliency",
  about: `Three numbers to predict from ${WIDTH}: two are mixtures of the same hidden units of a teacher, the third has a teacher of its own; ${TRAIN}
rows with noise, a perceptron with hidden layers of 32, AdamW at 3e-3, 60 epochs of 40 rows a step. \`--loss rep-mtl\` with weights of its entropy (\`tsr\`)
and its alignment (\`csa\`). R² on ${TEST} new rows, over all three; *gain* is by how much, relatively, the squared error is below that of \`mse\`.`,
  columns: COLUMNS,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: Object.fromEntries(
    Object.keys(LOSSES).flatMap((row) =>
      COLUMNS.map((column) => [`${row}: ${column}`, bounds[`${row}: ${column}`] ?? {}]),
    ),
  ),
  run: (seed) =>
    inLab(async (lab) => {
      const run = lab.script;
      const [data, held] = [lab.rows("train", rowsOf(seed, 0, TRAIN)), lab.rows("held", rowsOf(seed, 500, TEST))];
      const net = {
        ...{ model_type: "mlp", input_size: WIDTH, hidden_sizes: [32, 32], num_labels: 3 },
        problem_type: "regression",
      };
      const fit = `${lab.fresh(net)} --data ${data} --epochs 60 --batch-size 40 --lr 3e-3 --weight-decay 0 --seed ${seed}`;
      const figures: Record<string, number> = {};
      let plain: number | undefined;
      for (const [name, loss] of Object.entries(LOSSES)) {
        await run("train", `${fit} --loss ${loss} --save-every 0 --overwrite -o out/`);
        const text = await run("evaluate", `out/ --data ${held} --metric mse,r2 --json`);
        const found = (JSON.parse(text) as { rows: { metric: string; value: number }[] }).rows;
        const of = (metric: string) => found.find((row) => row.metric === metric)!.value;
        plain ??= of("mse");
        figures[`${name}: R²`] = of("r2");
        figures[`${name}: gain`] = 1 - of("mse") / plain;
      }
      return figures;
    }),
};
