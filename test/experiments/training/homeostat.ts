import { inLab } from "../curriculum-lab.ts";
import { experimentOf } from "../experiment.ts";
import { normal } from "../support.ts";

const [ROWS, CLASSES] = [1200, 6];
const STRETCHES = { "swaps every 40": 40, "every 150": 150, "labels that stay": ROWS } as const;
const RATES = [0.02, 0.05, 0.1, 0.2] as const;
const BASE = 0.05;
const WAYS: readonly (readonly [string, string])[] = [
  ...RATES.map((rate) => [`constant ${rate}`, `--lr ${rate}`] as const),
  ...(["effects", "errors", "chance"] as const).map(
    (by) => [`pushed by ${by}`, `--lr ${BASE} --homeostat 0.2 --homeostat-by ${by}`] as const,
  ),
];
const COLUMNS = Object.keys(STRETCHES);

/** Points about a centre for each class, on a circle. */
function points(seed: number) {
  const draw = normal(4000 + seed);
  return Array.from({ length: ROWS }, (_, i) => {
    const label = Math.floor((i * 7919) / 3) % CLASSES;
    const angle = (2 * Math.PI * label) / CLASSES;
    const x = [2 * Math.cos(angle) + 0.5 * draw(), 2 * Math.sin(angle) + 0.5 * draw()];
    return { x: x.map((v) => Number(v.toFixed(4))), label };
  });
}

export const experiment = experimentOf({
  title: "A rate that answers push, on labels that change their meaning",
  about: `${ROWS} points of ${CLASSES} classes, of which two labels change places every so many rows (\`data shift-labels\`). A perceptron of 24 units learns them one
by one by SGD, each answered before it is learnt (\`train --prequential\`); share of right answers. \`--homeostat 0.2\` pushes a rate of ${BASE} by effects, by errors, or by
effects with random signs.`,
  columns: COLUMNS,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: Object.fromEntries(WAYS.flatMap(([row]) => COLUMNS.map((column) => [`${row}: ${column}`, {}] as const))),
  run: (seed) =>
    inLab(async (lab) => {
      lab.rows("points", points(seed));
      const net = lab.fresh({ model_type: "mlp", input_size: 2, hidden_sizes: [24], num_labels: CLASSES });
      const found: Record<string, number> = {};
      for (const [column, every] of Object.entries(STRETCHES)) {
        await lab.script(
          "data",
          `shift-labels points.jsonl --every ${every} --classes ${CLASSES} --seed ${seed} -o stream-${every}.jsonl`,
        );
        const fit = `${net} --data stream-${every}.jsonl --prequential --batch-size 1 --optimizer sgd --momentum 0`;
        for (const [row, way] of WAYS) {
          const run = `${fit} --schedule constant --save-every 0 --seed ${seed} ${way} --overwrite -o learnt/ --json`;
          const told = JSON.parse(await lab.script("train", run)) as { prequential_accuracy: number };
          found[`${row}: ${column}`] = told.prequential_accuracy;
        }
      }
      return found;
    }),
});
