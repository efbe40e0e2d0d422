import { readFileSync } from "node:fs";
import { join } from "node:path";
import { inLab } from "../curriculum-lab.ts";
import { type Bound, experimentOf } from "../experiment.ts";

const STEPS = 200;
const WIDTHS = { small: 16, large: 64 } as const;
const WORDS = ["short", "middle", "long"] as const;
const bounds: Readonly<Record<string, Bound>> = {
  "small − large: short, first steps": {},
  "small: mind − equal shares, loss": {},
  "large: mind − equal shares, loss": {},
};

export const experiment = experimentOf({
  title: "`mind`: three ways to write a sum, and who takes in which",
  about: `Sums modulo 23 with the answer alone, after the plain sum, or after the sum taken apart; 200 questions in all three. GPT-2s of one layer, of width 16 and 64,
${STEPS} steps of 12 rows, without the guard. Mean shares of the first and last 40 steps, and losses on 90 held-out rows of all three kinds.
The small student weighs nothing; the large one leaves the short answers, which it cannot foresee, for the others, and ends behind equal shares.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: Object.fromEntries(
    [
      ...Object.keys(WIDTHS).flatMap((size) => [
        ...WORDS.flatMap((word) => [`${size}: ${word}, first steps`, `${size}: ${word}, last steps`]),
        `${size}: loss, mind`,
        `${size}: loss, equal shares`,
      ]),
      ...Object.keys(bounds),
    ].map((name) => [name, bounds[name] ?? {}]),
  ),
  run: (seed) =>
    inLab(async (lab) => {
      const rows = (from: number, count: number, word: (typeof WORDS)[number]) =>
        Array.from({ length: count }, (_, i) => {
          const [a, b] = [(7 * (from + i) + 3 * seed) % 100, (31 * (from + i) + 11) % 100];
          const [sum, rest] = [a + b, (a + b) % 23];
          const middle = `${a}+${b}=${sum}`;
          const texts = {
            short: `${rest}.`,
            middle: `${middle}; ${rest}.`,
            long: `${middle}; ${sum}-23*${Math.floor(sum / 23)}=${rest}; ${rest}.`,
          };
          return { prompt: `${a}+${b} mod 23? `, completion: texts[word] };
        });
      for (const word of WORDS) {
        lab.rows(word, rows(0, 200, word));
        lab.rows(`held-${word}`, rows(1000, 30, word));
      }
      const data = WORDS.map((word) => `--data ${word}=${word}.jsonl`).join(" ");
      const held = WORDS.map((word) => `--data held-${word}.jsonl`).join(" ");
      const figures: Record<string, number> = {};
      for (const [size, width] of Object.entries(WIDTHS)) {
        const net = { model_type: "gpt2", n_embd: width, n_layer: 1, n_head: 4, n_positions: 64, vocab_size: 264 };
        lab.fresh({ ...net, initializer_range: 0.1 }, size);
        await lab.script(
          "train",
          `--init ${size}.json --tokenizer byte --data short.jsonl --steps 1 --lr 1e-9 -o ${size}/`,
        );
        for (const [name, options] of [
          ["mind", `--log ${size}.log`],
          ["equal shares", "--share-temperature 1e30"],
        ] as const) {
          const line = `--teacher self --student ${size}/ --method mind --distill-weight 0 ${data} --batch-size 12 --steps ${STEPS} --lr 4e-3`;
          await lab.script("distill", `${line} ${options} --seed ${seed} --save-every 0 --overwrite -o student/`);
          const text = await lab.script("evaluate", `student/ ${held} --metric loss --json`);
          const losses = (JSON.parse(text) as { rows: { value: number }[] }).rows.map(({ value }) => value);
          figures[`${size}: loss, ${name}`] = losses.slice(0, 3).reduce((a, b) => a + b, 0) / 3;
        }
        const steps: Record<string, number>[] = readFileSync(join(lab.folder, `${size}.log`), "utf8")
          .trim()
          .split("\n")
          .map((text) => JSON.parse(text))
          .filter((step) => step["share.short"] !== undefined);
        for (const word of WORDS) {
          const mean = (part: Record<string, number>[]) =>
            part.reduce((sum, step) => sum + step[`share.${word}`]!, 0) / part.length;
          figures[`${size}: ${word}, first steps`] = mean(steps.slice(0, 40));
          figures[`${size}: ${word}, last steps`] = mean(steps.slice(-40));
        }
      }
      const less = (size: string) => figures[`${size}: loss, mind`]! - figures[`${size}: loss, equal shares`]!;
      return {
        ...figures,
        "small − large: short, first steps":
          figures["small: short, first steps"]! - figures["large: short, first steps"]!,
        "small: mind − equal shares, loss": less("small"),
        "large: mind − equal shares, loss": less("large"),
      };
    }),
});
