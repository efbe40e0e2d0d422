import { inLab } from "../curriculum-lab.ts";
import { denoiser, drawn, modeRows } from "../eight-modes.ts";
import { experimentOf } from "../experiment.ts";

/** Rows with their quadrant as a label, 0 to 3. */
const quadrant = ([x = 0, y = 0]: readonly number[]) => (x > 0 ? 0 : 2) + (y > 0 ? 0 : 1);

export const experiment = experimentOf({
  title: "A control on a frozen generator: `adapt nct`",
  about: `A generator of one step of eight Gaussians on a circle (\`train --loss ict\`, 800 steps of 128 rows), and a classifier of quadrants; 500 steps
of an adapter of rank 32 on 128 noises each, AdamW at 3e-3. The share of 200 draws for each quadrant that lie in it, from noise that has nothing to do
with it: before, with consistency and boundary alone, and with the classifier's cross-entropy at 0.1 beside them.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    "in the quadrant, before": { above: 0.2, below: 0.3 },
    "in the quadrant, nct": { above: 0.6 },
    "in the quadrant, nct with the classifier's loss": { above: 0.6 },
  },
  run: (seed) =>
    inLab(async (lab) => {
      const rows = modeRows(4000, 100 + seed);
      const bare = lab.rows(
        "rows",
        rows.map(({ x }) => ({ x })),
      );
      const told = lab.rows(
        "quadrants",
        rows.map(({ x }) => ({ x, label: quadrant(x) })),
      );
      const more = `--batch-size 128 --seed ${seed} --save-every 0`;
      await lab.script(
        "train",
        `${lab.fresh(denoiser(0))} --data ${bare} --loss ict --ict-most 80 --steps 800 --lr 2e-3 ${more} -o made/`,
      );
      const mlp = { model_type: "mlp", input_size: 2, hidden_sizes: [32], num_labels: 4 };
      await lab.script("train", `${lab.fresh(mlp)} --data ${told} --epochs 4 --lr 1e-2 ${more} -o judge/`);
      const share = async (model: string, ask: boolean) => {
        let right = 0;
        for (const one of [0, 1, 2, 3]) {
          const found = await drawn(lab, `${model} --steps 1 --count 200 --seed ${seed}${ask ? ` --ask ${one}` : ""}`);
          right += found.filter(({ x }) => quadrant(x) === one).length;
        }
        return right / 800;
      };
      const adapted = async (line: string) => {
        const own = `--classifier judge/ --steps 500 --batch-size 128 --rank 32 --lr 3e-3 --seed ${seed} --overwrite`;
        await lab.script("adapt", `nct made/ ${own} ${line} -o asked/`);
        return share("made/+asked/", true);
      };
      return {
        "in the quadrant, before": await share("made/", false),
        "in the quadrant, nct": await adapted("--classifier-weight 0"),
        "in the quadrant, nct with the classifier's loss": await adapted("--classifier-weight 0.1"),
      };
    }),
});
