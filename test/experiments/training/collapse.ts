import { readFileSync } from "node:fs";
import { join } from "node:path";
import { inLab } from "../curriculum-lab.ts";
import type { Bound, Experiment } from "../experiment.ts";
import { normal } from "../support.ts";

const [CLASSES, WIDTH, ROWS, TEST, STEPS] = [3, 6, 150, 900, 600];
const RUNS: Readonly<Record<string, string>> = {
  "cross-entropy": "",
  mixup: "--mixup 1 --mixup-at embedding",
  "a held simplex head": "--head etf",
};
/** How far the corners lie from 0. */
const BEDS: Readonly<Record<string, number>> = { overlapping: 0.9, apart: 2 };
const NAMES = Object.keys(BEDS).flatMap((bed) => Object.keys(RUNS).map((row) => `${bed}, ${row}`));
const COLUMNS = [
  "NC1 at the start",
  "NC1 at the end",
  "NC2, angles",
  "NC3",
  "NC4",
  "mixed rows off the line",
  "calibration error of other rows",
  "accuracy of other rows",
];
const bounds: Readonly<Record<string, Bound>> = {
  "apart, a held simplex head: NC1 at the end": { below: 0.3 },
  "overlapping, mixup: mixed rows off the line": { above: 0.05 },
  "apart, mixup: mixed rows off the line": { above: 0.05 },
};

/** Classes as clouds of unit variance around corners. */
function rowsOf(seed: number, count: number, first: number, corner: number) {
  const draw = normal(55_000 * seed + first);
  return Array.from({ length: count }, (_, i) => ({
    x: Array.from({ length: WIDTH }, (__, k) =>
      Number(((k % CLASSES === i % CLASSES ? corner : 0) + draw()).toFixed(4)),
    ),
    label: i % CLASSES,
  }));
}

export const experiment: Experiment = {
  title: "Neural collapse with and without mixup, and with a head that is held",
  about: `${CLASSES} clouds of unit variance in ${WIDTH} dimensions, each about a corner with two coordinates of 0.9 (*overlapping*) or 2 (*apart*), ${ROWS} rows, a perceptron of two hidden layers of 64, AdamW at 0.003 with decay 0.1, a constant rate, ${STEPS} steps of 50
rows: long past the first without an error. NC1 to NC4 are of the training rows (0 is whole collapse), *mixed rows off the line* is how far features of mixtures of two
classes leave the mixture of the classes' means, in distances of the means (100 pairs, nine shares). Calibration over 15 bins, on ${TEST} other rows. Fisher et al. 2024
([arXiv:2402.06171](https://arxiv.org/abs/2402.06171)) expect NC1 to fall with and without mixup, the calibration error to be lower with it, and mixed rows to leave the line.`,
  columns: COLUMNS,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: Object.fromEntries(
    NAMES.flatMap((row) => COLUMNS.map((column) => `${row}: ${column}`)).map((name) => [name, bounds[name] ?? {}]),
  ),
  run: (seed) =>
    inLab(async (lab) => {
      const run = lab.script;
      const net = lab.fresh({ model_type: "mlp", input_size: WIDTH, hidden_sizes: [64, 64], num_labels: CLASSES });
      const figures: Record<string, number> = {};
      for (const row of NAMES) {
        const [bed = "", kind = ""] = row.split(/, (.*)/);
        const [corner, options] = [BEDS[bed]!, RUNS[kind]!];
        const data = lab.rows("rows", rowsOf(seed, ROWS, 1, corner));
        const test = lab.rows("other", rowsOf(seed, TEST, 2, corner));
        const log = `${row.replaceAll(/\W+/g, "-")}.log`;
        const line = `${net} --data ${data} --steps ${STEPS} --batch-size 50 --lr 3e-3 --schedule constant --weight-decay 0.1 ${options} --seed ${seed}`;
        const probe = `--probe neural-collapse --probe-every ${STEPS} --probe-rows ${ROWS} --log ${log}`;
        await run("train", `${line} ${probe} --save-every 0 --overwrite -o out/`);
        const [first] = readFileSync(join(lab.folder, log), "utf8")
          .trimEnd()
          .split("\n")
          .map((one): Record<string, number | string> => JSON.parse(one))
          .filter(({ event }) => event === "probe");
        const of = async (rows: string, more: string) => {
          const text = await run("evaluate", `out/ --data ${rows} --json ${more}`);
          return (JSON.parse(text) as { rows: Record<string, number>[] }).rows;
        };
        const [own] = await of(data, "--probe neural-collapse --neural-collapse-mixup 100");
        const [other] = await of(test, "--probe neural-collapse");
        const right = (await of(test, "--metric class-accuracy")).find((one) => one.value !== undefined)!;
        const values = [
          ...[Number(first!.nc1), own!.nc1!, own!.nc2_angles!, own!.nc3!, own!.nc4!, own!.off_the_line!],
          ...[other!.ece!, right.value!],
        ];
        for (const [i, column] of COLUMNS.entries()) figures[`${row}: ${column}`] = values[i]!;
      }
      return figures;
    }),
};
