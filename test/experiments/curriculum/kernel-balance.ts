import { readFileSync } from "node:fs";
import { join } from "node:path";
import { effectiveSize } from "../../../src/curriculum/kernel-balance.ts";
import { inLab } from "../curriculum-lab.ts";
import { experimentOf } from "../experiment.ts";
import { normal, uniform } from "../support.ts";

/** Two features; the class bends, so that no straight line is right everywhere. */
function world(seed: number, first: number) {
  const draw = normal(31_000 * seed + first);
  const next = uniform(57_000 * seed + first);
  const row = () => {
    const x = [draw(), draw()] as const;
    const chance = 1 / (1 + Math.exp(-4 * (x[1] - 0.8 * x[0] ** 2 + 0.6 + 0.8 * x[0])));
    return { x: x.map((v) => Number(v.toFixed(4))), label: next() < chance ? 1 : 0 };
  };
  return { row, next };
}

export const experiment = experimentOf({
  title: "`weights`: rows that were seen by a feature, for a model that is too simple",
  about: `300 rows that were seen with a probability of 1 / (1 + exp(-2 x_0)), a pool of 1000 that were not chosen, and classes with a bent border; a
linear classifier (20 epochs of 50 rows, AdamW at 0.05) cannot be right everywhere, and learns what its rows weigh. Cross-entropy on the pool; *even* is trained on as many rows of the
pool's own kind. MMD is the maximum mean discrepancy from the pool, over that of even weights; the size is the effective one.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    "no weights: pool loss": {},
    "dual: pool loss": {},
    "gap: pool loss": {},
    "even: pool loss": {},
    "dual − no weights": { below: -0.02 },
    "gap − no weights": { below: -0.02 },
    "dual: MMD, times lower": { above: 5 },
    "gap: MMD, times lower": { above: 2 },
    "dual: effective size": {},
    "gap: effective size": {},
  },
  run: (seed) =>
    inLab(async (lab) => {
      const run = lab.script;
      const far = world(seed, 0);
      const pool = Array.from({ length: 1000 }, far.row);
      const near = world(seed, 1);
      const seen: ReturnType<typeof near.row>[] = [];
      while (seen.length < 300) {
        const one = near.row();
        if (near.next() < 1 / (1 + Math.exp(-2 * one.x[0]!))) seen.push(one);
      }
      const data = { seen: lab.rows("seen", seen), pool: lab.rows("pool", pool) };
      const even = lab.rows("even", Array.from({ length: 300 }, world(seed, 2).row));
      const net = { model_type: "mlp", input_size: 2, hidden_sizes: [], num_labels: 2 };
      const loss = async (rows: string) => {
        const asked = `--epochs 20 --batch-size 50 --lr 0.05 --weight-decay 0 --seed ${seed} --save-every 0 --overwrite`;
        await run("train", `${lab.fresh(net)} --data ${rows} ${asked} -o out/`);
        const text = await run("evaluate", `out/ --data pool=${data.pool} --metric loss --json`);
        return (JSON.parse(text) as { rows: { value: number }[] }).rows[0]!.value;
      };
      const figures: Record<string, number> = {
        "no weights: pool loss": await loss(data.seen),
        "even: pool loss": await loss(even),
      };
      for (const how of ["dual", "gap"]) {
        const line = `weights --data ${data.seen} --pool ${data.pool} --weigh-by ${how} --seed ${seed} --json`;
        const told = JSON.parse(await run("curriculum", `${line} -o ${how}.jsonl`));
        const weights = readFileSync(join(lab.folder, `${how}.jsonl`), "utf8")
          .trimEnd()
          .split("\n")
          .map((text) => (JSON.parse(text) as { loss_weight: number }).loss_weight);
        figures[`${how}: pool loss`] = await loss(`${how}.jsonl`);
        figures[`${how} − no weights`] = figures[`${how}: pool loss`]! - figures["no weights: pool loss"]!;
        figures[`${how}: MMD, times lower`] = told.before / told.discrepancy;
        figures[`${how}: effective size`] = effectiveSize(Float64Array.from(weights));
      }
      return figures;
    }),
});
