import { inLab } from "../curriculum-lab.ts";
import type { Bound, Experiment } from "../experiment.ts";
import { normal, uniform } from "../support.ts";

const [CLASSES, WIDTH, ROWS, TEST] = [6, 10, 600, 1200];

/** Classes as clouds around random centres; `counts` rows of each, of which a share has another class's label. */
function rowsOf(seed: number, counts: readonly number[], first: number, wrong = 0) {
  const centre = normal(1000 * seed);
  const centres = Array.from({ length: CLASSES }, () => Array.from({ length: WIDTH }, () => 0.9 * centre()));
  const draw = normal(77_000 * seed + first);
  const next = uniform(99_000 * seed + first);
  const rows = counts.flatMap((count, label) =>
    Array.from({ length: count }, () => {
      const x = centres[label]!.map((c) => Number((c + draw()).toFixed(4)));
      const other = (label + 1 + Math.floor(next() * (CLASSES - 1))) % CLASSES;
      return { x, label: next() < wrong ? other : label };
    }),
  );
  return rows
    .map((row) => [next(), row] as const)
    .sort(([a], [b]) => a - b)
    .map(([, row]) => row);
}

const EVEN = Array<number>(CLASSES).fill(ROWS / CLASSES);
/** Each class has 0.4 times the rows of the one before. */
const TAIL = EVEN.map((_, label) => Math.round(360 * 0.4 ** label));
const BEDS = { clean: [EVEN, 0], "long-tailed": [TAIL, 0], "wrong labels": [EVEN, 0.4] } as const;

const LOSSES: Readonly<Record<string, string>> = {
  ce: "",
  "ce, smoothed": "--smoothing 0.1",
  focal: "--loss focal",
  "compsum, tau 0.5": "--loss compsum --compsum-tau 0.5",
  "compsum, tau 1.7": "--loss compsum --compsum-tau 1.7",
  "compsum, tau 2 (MAE)": "--loss compsum --compsum-tau 2",
  ldr: "--loss ldr",
  aldr: "--loss aldr",
  "logit-adjust": "--loss logit-adjust",
  ldam: "--loss ldam --ldam-scale 4",
  "class-balanced": "--loss class-balanced",
  "anyloss, F1": "--loss anyloss",
  "anyloss, balanced accuracy": "--loss anyloss --any-metric balanced-accuracy",
};
const COLUMNS = ["clean", "long-tailed", "long-tailed, three rarest", "wrong labels"] as const;

const bounds: Readonly<Record<string, Bound>> = {
  "logit-adjust − ce: long-tailed, three rarest": { above: 0.05 },
  "compsum, tau 1.7 − ce: wrong labels": { above: 0.01 },
};

export const experiment: Experiment = {
  title: "Losses of labels on clean, long-tailed and noisy rows",
  about: `${CLASSES} clouds of unit variance in ${WIDTH} dimensions whose centres overlap. *Clean*: 100 rows a class. *Long-tailed*: each class has 0.4 times
the rows of the one before, 360 to 4. *Wrong labels*: 40 % of the rows have another class's label. A perceptron of two hidden layers of 64, AdamW
at 3e-3 without decay, 60 epochs of 100 rows a step. Accuracy on ${TEST} rows with right labels, as many of each class; *three rarest* are classes 3 to 5.
\`ldam\` with its scale of 30 is for normalised features, and has 4 here. Everything else is at its default.`,
  columns: COLUMNS,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: Object.fromEntries(
    [...Object.keys(LOSSES).flatMap((row) => COLUMNS.map((column) => `${row}: ${column}`)), ...Object.keys(bounds)].map(
      (name) => [name, bounds[name] ?? {}],
    ),
  ),
  run: (seed) =>
    inLab(async (lab) => {
      const run = lab.script;
      const held = rowsOf(seed, Array<number>(CLASSES).fill(TEST / CLASSES), 500);
      const all = lab.rows("held", held);
      const rare = lab.rows(
        "rare",
        held.filter(({ label }) => label >= 3),
      );
      const net = { model_type: "mlp", input_size: WIDTH, hidden_sizes: [64, 64], num_labels: CLASSES };
      const figures: Record<string, number> = {};
      for (const [bed, [counts, wrong]] of Object.entries(BEDS)) {
        const data = lab.rows(bed.replace(" ", "-"), rowsOf(seed, counts, 0, wrong));
        for (const [name, options] of Object.entries(LOSSES)) {
          const train = `${lab.fresh(net)} --data ${data} --epochs 60 --batch-size 100 --lr 3e-3 --weight-decay 0 --seed ${seed}`;
          await run("train", `${train} ${options} --save-every 0 --overwrite -o out/`.replace(/ +/g, " "));
          const text = await run("evaluate", `out/ --data even=${all} --data rare=${rare} --metric accuracy --json`);
          const found = (JSON.parse(text) as { rows: { group: string; value: number }[] }).rows;
          const of = (group: string) => found.find((one) => one.group === group)!.value;
          figures[`${name}: ${bed}`] = of("even");
          if (bed === "long-tailed") figures[`${name}: long-tailed, three rarest`] = of("rare");
        }
      }
      for (const name of Object.keys(bounds)) {
        const [, row, column] = /^(.*) − ce: (.*)$/.exec(name)!;
        figures[name] = figures[`${row}: ${column}`]! - figures[`ce: ${column}`]!;
      }
      return figures;
    }),
};
