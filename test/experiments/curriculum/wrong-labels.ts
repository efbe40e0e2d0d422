import { inLab } from "../curriculum-lab.ts";
import { experimentOf } from "../experiment.ts";
import { uniform } from "../support.ts";

const MLP = { model_type: "mlp", input_size: 6, hidden_sizes: [64], num_labels: 4 };

export const experiment = experimentOf({
  title: "`cyclical-live` and `self-paced` where three labels in ten are drawn by lot",
  about: `96 points of four clusters, 200 held out with right labels. A perceptron, 180 steps of 16 points. Held-out loss; ordinary
epochs are \`cyclical --start 1\`. \`self-paced\` helps on the points of the test and harms on the others.`,
  seeds: [1, 2, 3],
  tested: 3,
  figures: {
    "ordinary epochs": {},
    "cyclical-live − ordinary": { below: -0.04 },
    "self-paced − ordinary": { below: -0.1 },
    "cyclical by the trained model − ordinary": {},
  },
  run: (seed) =>
    inLab(async (lab) => {
      const next = uniform(95 + seed);
      const centres = Array.from({ length: 4 }, () => Array.from({ length: 6 }, () => 2 * next() - 1));
      const point = (wrong: number) => {
        const label = Math.floor(4 * next());
        const x = centres[label]!.map((value) => value + 0.9 * (next() + next() + next() - 1.5));
        return { x, label: next() < wrong ? Math.floor(4 * next()) : label };
      };
      const train = { all: Array.from({ length: 96 }, () => point(0.3)) };
      const data = lab.groups(train, { all: Array.from({ length: 200 }, () => point(0)) });
      const line = `${lab.fresh(MLP, "mlp")} ${data} --batch-size 16 --lr 0.02 --steps 180 --seed ${seed}`;
      const after = async (method: string) => (await lab.run(`${line} --method ${method}`)).losses.all!;
      const ordinary = await after("cyclical --start 1");
      lab.rows("rows", train.all);
      await lab.script("curriculum", "score out.safetensors --data rows.jsonl -o scored.jsonl");
      return {
        "ordinary epochs": ordinary,
        "cyclical-live − ordinary": (await after("cyclical-live")) - ordinary,
        "self-paced − ordinary": (await after("self-paced --start 0.3 --over 1")) - ordinary,
        "cyclical by the trained model − ordinary": (await after("cyclical --scores scored.jsonl")) - ordinary,
      };
    }),
});
