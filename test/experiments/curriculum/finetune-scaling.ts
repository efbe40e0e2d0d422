/** What is learnt from how many rows: the form of an answer from few, the answer from many. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { inLab } from "../curriculum-lab.ts";
import { experimentOf } from "../experiment.ts";

interface Point {
  readonly size: number;
  readonly value: number;
  readonly form: number;
  readonly form_errors: number;
  readonly content_errors: number;
}

const SIZES = [30, 100, 300, 1000];

export const experiment = experimentOf({
  title: "`--probe finetune-scaling`: the form of a sum, and the sum",
  about: `Sums of two numbers below 100, digits reversed, and a fresh decoder of two layers and width 64 that reads bytes. It learns nested parts of
1300 rows, each for 20 passes of 16 rows at 3e-3, and answers 260 others. In form is an answer of three digits.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    "in form, 100 rows": { above: 0.9 },
    "right, 100 rows": { below: 0.3 },
    "right, 1000 rows": {},
    "right, 1000 rows − 300": { above: 0 },
    "wrong and in form, 300 rows": {},
    "exponent b of P = a D^b": { above: 0.2 },
    r2: {},
    "rows for 95 % of form": { below: 301 },
  },
  run: (seed) =>
    inLab(async (lab) => {
      const sizes = { n_embd: 64, n_layer: 2, n_head: 4, n_positions: 32 };
      const config = { model_type: "gpt2", ...sizes, vocab_size: 264, initializer_range: 0.1 };
      writeFileSync(join(lab.folder, "adder.json"), JSON.stringify(config));
      await lab.script("data", `addition --digits 2 --pad --reversed --size 1560 --seed ${seed} -o sums.jsonl`);
      const fresh = "--init adder.json --tokenizer byte --data sums.jsonl --steps 1 --lr 1e-9 --save-every 0";
      await lab.script("train", `${fresh} --seed ${seed} -o fresh/`);
      const swept = `--finetune-scaling-sizes ${SIZES.join(",")} --finetune-scaling-seeds 1 --finetune-scaling-epochs 20`;
      const training = "--finetune-scaling-lr 3e-3 --finetune-scaling-batch 16 --finetune-scaling-held 0.17";
      const asked = "--metric exact-match --max-tokens 4 --batch-size 64 --finetune-scaling-form [0-9]{3}";
      const text = await lab.script(
        "evaluate",
        `fresh --data sums.jsonl --probe finetune-scaling ${swept} ${training} ${asked} --seed ${seed} --json`,
      );
      const [{ points, law, form_at }] = JSON.parse(text).rows as [
        { points: Point[]; law: { b: number; r2: number }; form_at: number },
      ];
      const at = (size: number) => points.find((point) => point.size === size)!;
      return {
        "in form, 100 rows": at(100).form,
        "right, 100 rows": at(100).value,
        "right, 1000 rows": at(1000).value,
        "right, 1000 rows − 300": at(1000).value - at(300).value,
        "wrong and in form, 300 rows": at(300).content_errors,
        "exponent b of P = a D^b": law.b,
        r2: law.r2,
        "rows for 95 % of form": form_at,
      };
    }),
});
