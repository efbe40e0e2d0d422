import { AttackedDigits, SIDE } from "../attacked-digits.ts";
import { inLab } from "../curriculum-lab.ts";
import type { Bound, Experiment } from "../experiment.ts";

const STEPS = 300;
const WAYS = { dense: "", "no term": "--prune-polarize 0", "weight 2": "--prune-polarize 2" } as const;
const COLUMNS = ["accuracy", "behind gates", "units", "disagreement"] as const;

const bounds: Readonly<Record<string, Bound>> = { "weight 2: disagreement": { below: 0.02 } };

export const experiment: Experiment = {
  title: "Units that gates agree to leave out (polarize)",
  about: `Rendered digits of ${SIDE} × ${SIDE} pixels, 2000 to learn and 500 held out. A perceptron of two hidden layers of 64 units, AdamW at 5e-3,
${STEPS} steps of 50 rows; every hidden unit has a gate, and half of their weights are to stay. *Accuracy* is that of the model that is written, *behind gates* that
of the model in training, *disagreement* the mean of p (1 − p) at the last step. *No term* trains the gates without a reason to agree. The term keeps more than
half of what the cut costs without it; against what the card expects, the rest is more than one or two points.`,
  columns: COLUMNS,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: Object.fromEntries(
    Object.keys(WAYS).flatMap((way) =>
      COLUMNS.map((column) => [`${way}: ${column}`, bounds[`${way}: ${column}`] ?? {}]),
    ),
  ),
  run: (seed) =>
    inLab(async (lab) => {
      const bed = new AttackedDigits(lab.folder);
      await bed.digits("train.jsonl", seed, 2000, "train");
      await bed.digits("test.jsonl", seed, 500, "test");
      const net = { model_type: "mlp", input_size: SIDE ** 2, hidden_sizes: [64, 64], num_labels: 10 };
      const figures: Record<string, number> = {};
      for (const [way, options] of Object.entries(WAYS)) {
        const line = `${lab.fresh(net)} --data train.jsonl --eval-data test.jsonl --batch-size 50 --steps ${STEPS} --lr 5e-3 --seed ${seed}`;
        const own = options === "" ? "" : `--prune polarize ${options}`;
        const out = way.replace(" ", "-");
        const found = JSON.parse(await bed.run("train", `${line} ${own} --save-every 0 --json -o ${out}`));
        const measured = JSON.parse(await bed.run("evaluate", `${out} --data test.jsonl --metric accuracy --json`));
        figures[`${way}: accuracy`] = measured.accuracy;
        if (options === "") continue;
        figures[`${way}: behind gates`] = found.held_out_accuracy;
        figures[`${way}: units`] = found.units_kept;
        figures[`${way}: disagreement`] = found.disagreement;
      }
      return figures;
    }),
};
