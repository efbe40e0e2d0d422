import { inLab } from "../curriculum-lab.ts";
import { type Bound, experimentOf } from "../experiment.ts";

const [CANVAS, TRAIN, HELD] = [10, 800, 1000];
const CONFIG = {
  ...{ model_type: "vit", hidden_size: 32, intermediate_size: 64, num_hidden_layers: 4, num_attention_heads: 2 },
  ...{ image_size: CANVAS, patch_size: 5, num_channels: 1, num_labels: 10 },
};
const WAYS = {
  dense: "",
  "4 experts, b 0.1": "--moe-train ewa --moe-experts 4 --moe-share 0.1",
  "4 experts, b 0.3": "--moe-train ewa --moe-experts 4 --moe-share 0.3",
  "4 experts, never pulled": "--moe-train ewa --moe-experts 4 --moe-share 0",
} as const;
const ROWS = Object.keys(WAYS);
const BOUNDS: Readonly<Record<string, Bound>> = {
  dense: { above: 0.565 },
  "4 experts, b 0.1": { below: 0.565 },
  "4 experts, b 0.3": { below: 0.565 },
};

export const experiment = experimentOf({
  title: "Networks trained as experts that are averaged",
  about: `Vision Transformers of four layers of 32 learn ${TRAIN} digits of ${CANVAS} x ${CANVAS} pixels with noise in 16 passes: dense, or with the
feed-forward networks of two layers as four experts on random shares of the tokens (\`--moe-train ewa\`), which become one dense model of the same
size. *Error* and *loss* are of ${HELD} other digits. The averaged networks are ahead of the dense one on every seed; experts that are never pulled, whose
mean is taken all the same, gain less.`,
  columns: ["error", "loss"],
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: Object.fromEntries(
    ROWS.flatMap((row) => [
      [`${row}: error`, BOUNDS[row] ?? {}],
      [`${row}: loss`, {}],
    ]),
  ),
  run: (seed) =>
    inLab(async (lab) => {
      const digits = `glyphs --canvas ${CANVAS} --shift 1 --noise 0.3 --seed ${seed}`;
      await lab.script("data", `${digits} --size ${TRAIN} -o train.jsonl`);
      await lab.script("data", `${digits} --split test --size ${HELD} -o held.jsonl`);
      const figures: Record<string, number> = {};
      for (const [way, flags] of Object.entries(WAYS)) {
        const how = `--data train.jsonl --epochs 16 --lr 3e-3 --batch-size 50 --seed ${seed} --save-every 0 ${flags}`;
        await lab.script("train", `${lab.fresh(CONFIG)} ${how} --overwrite -o model/`.replace(/ +/g, " "));
        const text = await lab.script("evaluate", "model/ --data held.jsonl --metric accuracy,loss --json");
        const { accuracy, loss } = JSON.parse(text) as { readonly accuracy: number; readonly loss: number };
        figures[`${way}: error`] = 1 - accuracy;
        figures[`${way}: loss`] = loss;
      }
      return figures;
    }),
});
