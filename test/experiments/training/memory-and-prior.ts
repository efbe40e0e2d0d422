import { inLab } from "../curriculum-lab.ts";
import type { Bound, Experiment } from "../experiment.ts";
import { normal, uniform } from "../support.ts";

const [CLASSES, WIDTH, TRAIN, ROWS, STEPS] = [4, 8, 800, 320, 5];
/** Shares of the target's classes. */
const SHARES = [0.7, 0.1, 0.1, 0.1];

/** Clouds about centres of the seed, moved by `far` along a direction of the seed. */
function cloudsOf(seed: number, part: number, count: number, given: { far: number; shares?: readonly number[] }) {
  const centre = normal(1000 * seed);
  const centres = Array.from({ length: CLASSES }, () => Array.from({ length: WIDTH }, () => 1.2 * centre()));
  const way = Array.from({ length: WIDTH }, () => centre());
  const length = Math.hypot(...way);
  const [draw, next] = [normal(77_000 * seed + part), uniform(55_000 * seed + part)];
  return Array.from({ length: count }, () => {
    let u = next();
    let label = 0;
    const shares = given.shares ?? Array<number>(CLASSES).fill(1 / CLASSES);
    while (label < CLASSES - 1 && u >= shares[label]!) u -= shares[label++]!;
    const x = centres[label]!.map((c, d) => Number((c + (given.far * way[d]!) / length + draw()).toFixed(4)));
    return { x, label };
  });
}

const SHIFTED: Readonly<Record<string, string>> = {
  source: "source",
  "bn-adapt": "bn-adapt",
  tent: "tent --lr 1e-2",
  "prior-entropy, the true prior": `prior-entropy --lr 1e-2 --prior-ratios ${SHARES.join(",")}`,
  "prior-entropy, an even prior": "prior-entropy --lr 1e-2 --prior-ratios 1,1,1,1",
  "prior-entropy, a wrong prior": "prior-entropy --lr 1e-2 --prior-ratios 1,1,1,7",
};
const DRIFTING: Readonly<Record<string, string>> = {
  "adanpc, nothing taken in": "adanpc --source known.jsonl --adanpc-beta 1.1",
  "adanpc, all taken in": "adanpc --source known.jsonl --adanpc-beta 0",
  "adanpc, sure rows (0.4)": "adanpc --source known.jsonl --adanpc-beta 0.4",
};
const KEPT = "tent − prior-entropy, the true prior: error";
const bounds: Readonly<Record<string, Bound>> = { [KEPT]: { above: 0 } };
const figuresOf = [
  ...Object.keys(SHIFTED).flatMap((row) => [`${row}: error`, `${row}: share of the top answer`]),
  ...Object.keys(DRIFTING).flatMap((row) => Array.from({ length: STEPS }, (_, i) => `${row}: step ${i + 1}`)),
  KEPT,
];

export const experiment: Experiment = {
  title: "A memory that takes in what it answers, and a prior on the answers",
  about: `${CLASSES} clouds of unit variance in ${WIDTH} dimensions train a perceptron of 32 and 16 units with batch norm on ${TRAIN} rows. *Prior*: ${3 * ROWS} rows that are moved by 1.5 and
of which 70 % are of the first class, in batches of 32; errors, and the share of the answer that is given most. *Memory*: ${STEPS} steps of ${ROWS} rows each, every one moved by
0.8 more than that before; errors of the vote of the 20 nearest by step.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: Object.fromEntries(figuresOf.map((name) => [name, bounds[name] ?? {}])),
  run: (seed) =>
    inLab(async (lab) => {
      const run = lab.script;
      const known = lab.rows("known", cloudsOf(seed, 0, TRAIN, { far: 0 }));
      const net = {
        model_type: "mlp",
        input_size: WIDTH,
        hidden_sizes: [32, 16],
        num_labels: CLASSES,
        hidden_norm: "batch",
      };
      await run(
        "train",
        `${lab.fresh(net)} --data ${known} --epochs 15 --batch-size 32 --lr 5e-3 --seed ${seed} --save-every 0 -o net/`,
      );
      const figures: Record<string, number> = {};
      const stream = async (data: string, method: string) => {
        const text = await run(
          "adapt",
          `stream net/ ${data} --batch-size 32 --method ${method} --overwrite -o out/ --json`,
        );
        return JSON.parse(text) as { error: number; top_share: number; domains: { error: number }[] };
      };
      const shifted = lab.rows("shifted", cloudsOf(seed, 1, 3 * ROWS, { far: 1.5, shares: SHARES }));
      for (const [name, method] of Object.entries(SHIFTED)) {
        const found = await stream(`--data ${shifted}`, method);
        figures[`${name}: error`] = found.error;
        figures[`${name}: share of the top answer`] = found.top_share;
      }
      const steps = Array.from({ length: STEPS }, (_, i) =>
        lab.rows(`step-${i}`, cloudsOf(seed, 10 + i, ROWS, { far: 0.8 * (i + 1) })),
      );
      for (const [name, method] of Object.entries(DRIFTING)) {
        const { domains } = await stream(
          steps.map((file) => `--data ${file}`).join(" "),
          `${method} --adanpc-neighbours 20`,
        );
        for (const [i, { error }] of domains.entries()) figures[`${name}: step ${i + 1}`] = error;
      }
      figures[KEPT] = figures["tent: error"]! - figures["prior-entropy, the true prior: error"]!;
      return figures;
    }),
};
