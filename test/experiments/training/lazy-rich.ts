import { readFileSync } from "node:fs";
import { join } from "node:path";
import { runScript } from "../../support/command.ts";
import { inLab } from "../curriculum-lab.ts";
import type { Bound, Experiment } from "../experiment.ts";
import { normal } from "../support.ts";

const [INPUT, WIDTH, ROWS, TEST, STEPS, EVERY] = [16, 64, 300, 400, 1500, 50];
const SCALES = [0.3, 1, 3, 10];
const COLUMNS = [
  "step at which 99 % of rows are right",
  "step at which 80 % of others are right",
  "accuracy of others at the end",
  "movement of the kernel",
  "alignment at the start",
  "alignment at the end",
];
const bounds: Readonly<Record<string, Bound>> = {
  "scale 10: movement of the kernel": { below: 0.6 },
};

/** The class of a row is whether it lies far out along one direction: the square of a product decides. */
function rowsOf(seed: number, count: number, first: number) {
  const direction = normal(31 * seed);
  const beta = Array.from({ length: INPUT }, () => direction());
  const length = Math.hypot(...beta);
  const draw = normal(40_000 * seed + first);
  return Array.from({ length: count }, () => {
    const x = Array.from({ length: INPUT }, () => Number(draw().toFixed(4)));
    const along = x.reduce((sum, value, i) => sum + (value * beta[i]!) / length, 0);
    return { x, label: along * along > 0.455 ? 1 : 0 }; // half of them
  });
}

interface Line {
  readonly event: string;
  readonly step: number;
  readonly name?: string;
  readonly probe?: string;
  readonly value?: number;
  readonly accuracy?: number;
  readonly movement?: number;
  readonly alignment?: number;
}

export const experiment: Experiment = {
  title: "From lazy to rich: the scale of outputs, and when other rows become right",
  about: `Rows of ${INPUT} normal numbers whose class is whether the square of their product with one direction is above its median, ${ROWS} of them and ${TEST} others; a
perceptron of ${WIDTH} hidden units with GELU, plain gradient descent over all rows at once, rate 0.5, ${STEPS} steps, \`--output-scale\` as the rows say. Steps at which rows
become right are read every ${EVERY}; ${STEPS + EVERY} stands for never. The kernel is that of 16 rows. Kumar et al. 2023
([arXiv:2310.06110](https://arxiv.org/abs/2310.06110)) expect that with a larger scale other rows become right later, long after the rows themselves, that the kernel
moves less, and that its alignment rises before.`,
  columns: COLUMNS,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: Object.fromEntries(
    SCALES.flatMap((scale) => COLUMNS.map((column) => `scale ${scale}: ${column}`)).map((name) => [
      name,
      bounds[name] ?? {},
    ]),
  ),
  run: (seed) =>
    inLab(async (lab) => {
      const [data, test] = [lab.rows("rows", rowsOf(seed, ROWS, 1)), lab.rows("other", rowsOf(seed, TEST, 2))];
      const config = { model_type: "mlp", input_size: INPUT, hidden_sizes: [WIDTH], num_labels: 2, hidden_act: "gelu" };
      const net = lab.fresh(config);
      const figures: Record<string, number> = {};
      for (const scale of SCALES) {
        const log = `scale-${scale}.log`;
        const line = `${net} --data ${data} --eval-data ${test} --eval-every ${EVERY} --steps ${STEPS} --batch-size ${ROWS} --optimizer sgd --momentum 0 --lr 0.5 --schedule constant --output-scale ${scale} --seed ${seed}`;
        const probe = `--probe kernel-alignment --probe-every ${STEPS} --kernel-alignment-columns 32 --log ${log} --log-every ${EVERY}`;
        const argv = `${line} ${probe} --save-every 0 --overwrite -q -o out/`.split(/ +/);
        const { err, code } = await runScript("train", argv, lab.folder);
        if (code !== 0) throw new Error(err);
        const lines = readFileSync(join(lab.folder, log), "utf8")
          .trimEnd()
          .split("\n")
          .map((one): Line => JSON.parse(one));
        const never = STEPS + EVERY;
        const held = lines.filter(({ event, name }) => event === "eval" && name === "accuracy");
        const seen = lines.filter(({ event }) => event === "probe");
        const values = [
          lines.find(({ event, accuracy }) => event === "step" && accuracy! >= 0.99)?.step ?? never,
          held.find(({ value }) => value! >= 0.8)?.step ?? never,
          held.at(-1)!.value!,
          ...[seen.at(-1)!.movement!, seen[0]!.alignment!, seen.at(-1)!.alignment!],
        ];
        for (const [i, column] of COLUMNS.entries()) figures[`scale ${scale}: ${column}`] = values[i]!;
      }
      return figures;
    }),
};
