import { inLab } from "../curriculum-lab.ts";
import type { Bound, Experiment } from "../experiment.ts";
import { normal, uniform } from "../support.ts";

const [CLASSES, WIDTH, TRAIN, TEST] = [4, 8, 400, 1000];
const ROWS = { plain: 0, "agm, 0.5": 0.5, "agm, 1": 1, "agm, 2": 2 } as const;
const COLUMNS = ["both", "hard alone", "easy alone", "strength, hard", "strength, easy"] as const;

/**
 * Rows of two sources: an easy one, clouds whose centres lie far apart, and a hard one, in which every class has four
 * clouds whose signs say it together.
 */
function rowsOf(seed: number, first: number, count: number) {
  const centre = normal(4000 * seed);
  const easy = Array.from({ length: CLASSES }, () => Array.from({ length: WIDTH }, () => 1.6 * centre()));
  const hard = Array.from({ length: CLASSES * 4 }, () => Array.from({ length: WIDTH }, () => 1.3 * centre()));
  const [draw, next] = [normal(70_000 * seed + first), uniform(50_000 * seed + first)];
  return Array.from({ length: count }, () => {
    const label = Math.floor(next() * CLASSES);
    const cloud = hard[4 * label + Math.floor(next() * 4)]!;
    const x = [...easy[label]!, ...cloud].map((c) => Number((c + draw()).toFixed(4)));
    return { x, label };
  });
}

const GAINED = "agm, 1 − plain: hard alone";
const bounds: Readonly<Record<string, Bound>> = { [GAINED]: { above: 0.01 } };

export const experiment: Experiment = {
  title: "Two sources of one classifier, an easy one and a hard one",
  about: `Rows of two times ${WIDTH} numbers, ${CLASSES} classes: in the easy source a class is one cloud, in the hard one four. A perceptron of two
hidden layers of 64 on both, ${TRAIN} rows, SGD with momentum at 0.02 and gradients clipped at 5, 40 epochs of 40 rows a step; \`agm\` with several alphas. Accuracy on ${TEST} new
rows of *both* sources, and of one with zeros for the other (\`--probe competition\`); *strength* is the distance of a source's share of the logits from what a
perceptron says that was trained on it alone.`,
  columns: COLUMNS,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: Object.fromEntries(
    [...Object.keys(ROWS).flatMap((row) => COLUMNS.map((column) => `${row}: ${column}`)), GAINED].map((name) => [
      name,
      bounds[name] ?? {},
    ]),
  ),
  run: (seed) =>
    inLab(async (lab) => {
      const run = lab.script;
      const train = rowsOf(seed, 0, TRAIN);
      const held = lab.rows("held", rowsOf(seed, 500, TEST));
      const data = lab.rows("both", train);
      const alone = { easy: (i: number) => i < WIDTH, hard: (i: number) => i >= WIDTH };
      const net = { model_type: "mlp", input_size: 2 * WIDTH, hidden_sizes: [64, 64], num_labels: CLASSES };
      const fit = `${lab.fresh(net)} --epochs 40 --batch-size 40 --optimizer sgd --lr 0.02 --weight-decay 0 --clip 5 --seed ${seed} --save-every 0`;
      for (const [name, isKept] of Object.entries(alone)) {
        const own = train.map(({ x, label }) => ({ x: x.map((value, i) => (isKept(i) ? value : 0)), label }));
        await run("train", `${fit} --data ${lab.rows(name, own)} -o only-${name}/`);
      }
      const sources = `easy=0-${WIDTH - 1},hard=${WIDTH}-${2 * WIDTH - 1}`;
      const figures: Record<string, number> = {};
      for (const [name, alpha] of Object.entries(ROWS)) {
        const rule = alpha === 0 ? "" : ` --gradient-rule agm --agm-sources ${sources} --agm-alpha ${alpha}`;
        await run("train", `${fit} --data ${data}${rule} --overwrite -o out/`);
        const text = await run("evaluate", `out/ --data ${held} --metric accuracy --json`);
        figures[`${name}: both`] = (JSON.parse(text) as { rows: { value: number }[] }).rows[0]!.value;
        const probe = `--probe competition --competition-sources ${sources} --competition-mono easy=only-easy/ --competition-mono hard=only-hard/`;
        const found = JSON.parse(await run("evaluate", `out/ --data ${held} ${probe} --json`)) as {
          rows: { source: string; accuracy: number; strength: number }[];
        };
        for (const { source, accuracy, strength } of found.rows) {
          figures[`${name}: ${source} alone`] = accuracy;
          figures[`${name}: strength, ${source}`] = strength;
        }
      }
      figures[GAINED] = figures["agm, 1: hard alone"]! - figures["plain: hard alone"]!;
      return figures;
    }),
};
