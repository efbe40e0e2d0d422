import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runScript } from "../../support/command.ts";
import { experimentOf } from "../experiment.ts";

const NET = { model_type: "mlp", input_size: 16, hidden_sizes: [20], num_labels: 4 };
const SAMPLES = 8;
/** Forward passes over 20 rows, of which one byte takes two and a step of AdamW one. */
const PASSES = [240, 2400] as const;

export const experiment = experimentOf({
  title: "One byte a sample beside AdamW",
  about: `Blobs of four classes with 16 numbers a row, 600 rows to learn and 300 held out; a perceptron of 424 weights. Both ways take as many forward passes over 20
rows: a step of AdamW (3e-3, constant) one, and the way back besides, which is not counted; a step of \`train zo-byte\` ${2 * SAMPLES}, for ${SAMPLES} bytes, at the rate 0.02,
the best of 0.02, 0.05 and 0.1, of which the others fall apart. Figures are held-out losses. With ten times the passes bytes are still behind what AdamW
has after the first 240; after 2400 AdamW knows its rows by heart.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    "AdamW, 240 passes": {},
    "bytes, 240 passes": { below: 1.39 },
    "AdamW, 2400 passes": {},
    "bytes, 2400 passes": { below: 0.95 },
    "bytes at 2400 − bytes at 240": { below: -0.15 },
  },
  async run(seed) {
    const folder = mkdtempSync(join(tmpdir(), "ingot-zo-"));
    try {
      writeFileSync(join(folder, "net.json"), JSON.stringify(NET));
      await runScript("data", "blobs --size 600 -o train.jsonl".split(" "), folder);
      await runScript("data", "blobs --size 300 --split test -o test.jsonl".split(" "), folder);
      const learn = async (how: string): Promise<number> => {
        const rows = "--init net.json --data train.jsonl --eval-data test.jsonl --batch-size 20";
        const line = `${how} ${rows} --seed ${seed} --json --overwrite -o out/`;
        const { text, err } = await runScript("train", line.trim().split(" "), folder);
        if (!text) throw new Error(err);
        return JSON.parse(text).held_out_loss;
      };
      const [few, many] = PASSES;
      const adamw = (passes: number) => learn(`--steps ${passes} --lr 3e-3 --schedule constant --save-every 0`);
      const bytes = (passes: number) =>
        learn(`zo-byte --steps ${passes / (2 * SAMPLES)} --samples ${SAMPLES} --lr 0.02`);
      const [first, last] = [await bytes(few), await bytes(many)];
      return {
        "AdamW, 240 passes": await adamw(few),
        "bytes, 240 passes": first,
        "AdamW, 2400 passes": await adamw(many),
        "bytes, 2400 passes": last,
        "bytes at 2400 − bytes at 240": last - first,
      };
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
});
