import { inLab } from "../curriculum-lab.ts";
import type { Bound, Experiment } from "../experiment.ts";

const [CANVAS, EPSILON, STEPS, LAYERS, WIDTH] = [9, 0.1, 600, 6, 48] as const;
const NORM = { hidden_norm: "batch" };
const INIT = { weight_init: "ibp" };
/** Names of ways to train, what the config adds, and options. */
const WAYS = {
  "rows as they are": [{}, ""],
  "moved rows (PGD)": [{}, `--adversarial --pgd-epsilon ${EPSILON} --pgd-steps 5 --pgd-range 0,1`],
  "bounds alone": [{}, "--certified-lambda 0"],
  "bounds, IBP's beginning": [INIT, "--certified-lambda 0"],
  "bounds, batch norm": [NORM, "--certified-lambda 0"],
  "bounds, warm-up terms": [{}, "--certified-lambda 0.5"],
  "bounds, all three": [{ ...NORM, ...INIT }, "--certified-lambda 0.5"],
} as const;
const COLUMNS = ["accuracy", "under PGD", "certified"] as const;

const bounds: Readonly<Record<string, Bound>> = {
  "all three − bounds alone: certified": { above: 0.02 },
  "under PGD − certified, the least: certified": { above: -1e-9 },
};

export const experiment: Experiment = {
  title: "Training by interval bounds",
  about: `Rendered digits of ${CANVAS} × ${CANVAS} pixels with noise 0.1, 2000 to learn and 500 held out; every pixel may move by ${EPSILON} within 0 to 1. Perceptrons of
${LAYERS} hidden layers of ${WIDTH}, Adam at 2e-3, ${STEPS} steps of 100 rows; the radius rises over the first 30 % of the steps. *Under PGD*: 20 steps, 3
starts. *Certified*: rows that interval bounds prove. The three fixes are the initialisation (\`weight_init\` of the config), a batch norm before
every rectifier, and the terms for tight bounds and balanced units.`,
  columns: COLUMNS,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: Object.fromEntries(
    [...Object.keys(WAYS).flatMap((row) => COLUMNS.map((column) => `${row}: ${column}`)), ...Object.keys(bounds)].map(
      (name) => [name, bounds[name] ?? {}],
    ),
  ),
  run: (seed) =>
    inLab(async (lab) => {
      const run = lab.script;
      const glyphs = `glyphs --canvas ${CANVAS} --shift 0 --noise 0.1 --seed ${seed}`;
      await run("data", `${glyphs} --size 2000 -o train.jsonl`);
      await run("data", `${glyphs} --size 500 --split test -o test.jsonl`);
      const net = {
        model_type: "mlp",
        input_size: CANVAS ** 2,
        hidden_sizes: Array(LAYERS).fill(WIDTH),
        num_labels: 10,
      };
      const figures: Record<string, number> = {};
      for (const [name, [config, options]] of Object.entries(WAYS)) {
        const way = options.includes("certified")
          ? `--certified ibp --certified-epsilon ${EPSILON} --certified-range 0,1 ${options}`
          : options;
        const line = `${lab.fresh({ ...net, ...config })} --data train.jsonl --batch-size 100 --steps ${STEPS} --lr 2e-3 --weight-decay 0 --seed ${seed}`;
        await run("train", `${line} ${way} --save-every 0 --overwrite -o out/`.replace(/ +/g, " "));
        const rowOf = async (more: string) => {
          const text = await run("evaluate", `out/ --data test.jsonl ${more} --json`);
          return (JSON.parse(text) as { rows: { accuracy: number; certified: number; after: number }[] }).rows[0]!;
        };
        const proved = await rowOf(`--probe ibp --ibp-epsilon ${EPSILON} --ibp-range 0,1`);
        const attack = `--pgd-epsilon ${EPSILON} --pgd-range 0,1 --pgd-steps 20 --pgd-restarts 3`;
        const attacked = await rowOf(`--attack pgd ${attack} --metric accuracy`);
        figures[`${name}: accuracy`] = proved.accuracy;
        figures[`${name}: under PGD`] = attacked.after;
        figures[`${name}: certified`] = proved.certified;
      }
      const [all, alone] = ["bounds, all three: certified", "bounds alone: certified"];
      figures["all three − bounds alone: certified"] = figures[all!]! - figures[alone!]!;
      figures["under PGD − certified, the least: certified"] = Math.min(
        ...Object.keys(WAYS).map((name) => figures[`${name}: under PGD`]! - figures[`${name}: certified`]!),
      );
      return figures;
    }),
};
