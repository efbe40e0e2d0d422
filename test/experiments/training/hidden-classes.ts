import { join } from "node:path";
import { inLab } from "../curriculum-lab.ts";
import type { Bound, Experiment } from "../experiment.ts";
import { probe } from "../linear-probe.ts";
import { normal } from "../support.ts";

const [CLASSES, MODES, WIDTH, ROWS] = [3, 4, 10, 600];

/** Clouds around random centres, some for each class; the label is the class. */
function cloudsOf(seed: number, first: number) {
  const centre = normal(1000 * seed);
  const centres = Array.from({ length: CLASSES * MODES }, () => Array.from({ length: WIDTH }, () => 1.3 * centre()));
  const draw = normal(77_000 * seed + first);
  return Array.from({ length: ROWS }, (_, i) => {
    const cloud = i % (CLASSES * MODES);
    return { x: centres[cloud]!.map((c) => Number((c + draw()).toFixed(4))), label: cloud % CLASSES, cloud };
  });
}

const LOSSES: Readonly<Record<string, string>> = {
  ce: "",
  look: "--loss look --look-queue 512 --look-neighbours 25",
  "look, all of the queue": "--loss look --look-queue 512 --look-neighbours 512",
  knn: "--loss knn --knn-queue 512 --knn-neighbours 25",
};
/** Numbers that the head reads. */
const HEADS = [16, 8];
const COLUMNS = HEADS.flatMap((head) => [`class, ${head}`, `hidden class, ${head}`]);
const NEAR = "look − look, all of the queue: hidden class, 16";
const bounds: Readonly<Record<string, Bound>> = { [NEAR]: { above: 0.05 } };

export const experiment: Experiment = {
  title: "Classes within classes, by losses over a queue of features",
  about: `${CLASSES} classes of ${MODES} clouds each, of unit variance in ${WIDTH} dimensions, ${ROWS} rows. A perceptron of two hidden layers, of 64 and of 16 or 8, learns
the classes, AdamW at 3e-3 without decay, 100 epochs of 50 rows a step. *Class* is the accuracy of the result on ${ROWS} other rows; *hidden class* that of a
linear probe on what its head reads, fitted on the training rows, which tells the clouds apart. Neighbours are 25 of a queue of 512. The card of \`look\` expects more of hidden classes than of
cross-entropy; here it is behind on four of six, and ahead of the same loss with all of the queue on all.`,
  columns: COLUMNS,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: Object.fromEntries(
    [...Object.keys(LOSSES).flatMap((row) => COLUMNS.map((column) => `${row}: ${column}`)), NEAR].map((name) => [
      name,
      bounds[name] ?? {},
    ]),
  ),
  run: (seed) =>
    inLab(async (lab) => {
      const run = lab.script;
      const [known, other] = [cloudsOf(seed, 0), cloudsOf(seed, 500)];
      const plain = ({ x, label }: (typeof known)[number]) => ({ x, label });
      const [data, held] = [lab.rows("known", known.map(plain)), lab.rows("other", other.map(plain))];
      const clouds = (rows: typeof known) => rows.map(({ x, cloud }) => ({ x, label: cloud }));
      const figures: Record<string, number> = {};
      for (const head of HEADS)
        for (const [name, options] of Object.entries(LOSSES)) {
          const net = { model_type: "mlp", input_size: WIDTH, hidden_sizes: [64, head], num_labels: CLASSES };
          const train = `${lab.fresh(net)} --data ${data} --epochs 100 --batch-size 50 --lr 3e-3 --weight-decay 0 --seed ${seed}`;
          await run("train", `${train} ${options} --save-every 0 --overwrite -o out/`.replace(/ +/g, " "));
          const text = await run("evaluate", `out/ --data ${held} --metric accuracy --json`);
          figures[`${name}: class, ${head}`] = (JSON.parse(text) as { rows: { value: number }[] }).rows[0]!.value;
          figures[`${name}: hidden class, ${head}`] = await probe(join(lab.folder, "out"), {
            ...{ fit: clouds(known), held: clouds(other), classes: CLASSES * MODES },
          });
        }
      figures[NEAR] = figures["look: hidden class, 16"]! - figures["look, all of the queue: hidden class, 16"]!;
      return figures;
    }),
};
