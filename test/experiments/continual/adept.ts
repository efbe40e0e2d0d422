import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runScript } from "../../support/command.ts";
import { decoder, inLab, type Lab, Language, type Row } from "../curriculum-lab.ts";
import { experimentOf } from "../experiment.ts";

const LAYERS = 4;

/** Runs a command of the lab; gives what it says as JSON. */
async function said(lab: Lab, script: string, line: string): Promise<string> {
  const { code, text, err } = await runScript(script, line.split(" "), lab.folder);
  if (code !== 0) throw new Error(`${script} ${line}\n${err}`);
  return text;
}

/** Options for the old language over symbols 0 to 15, and the new one over 8 to 23. */
function languages(lab: Lab, seed: number): string {
  const made = { old: 0, new: 8 };
  const of = (count: number, first: number): Record<string, Row[]> =>
    Object.fromEntries(
      Object.entries(made).map(([name, symbol], i) => {
        const language = new Language({ seed: 10 * seed + i, size: 16, sharpness: 12, first: symbol });
        return [name, language.rows(count, first + i)];
      }),
    );
  return lab.groups(of(800, 100 * seed), of(64, 100 * seed + 50));
}

/** Writes the first rows of the old language to kept.jsonl. */
function keep(lab: Lab, count: number): void {
  const lines = readFileSync(join(lab.folder, "set-0/old-train.jsonl"), "utf8").split("\n");
  writeFileSync(join(lab.folder, "kept.jsonl"), `${lines.slice(0, count).join("\n")}\n`);
}

/** The block that matters least to the old language, and the one that matters most. */
async function extremes(lab: Lab): Promise<{ least: number; most: number }> {
  const line = "base --data kept.jsonl --probe layer-importance --json -q";
  const [row] = (JSON.parse(await said(lab, "evaluate", line)) as { rows: { importance: number[] }[] }).rows;
  const order = [...row!.importance.keys()].sort((a, b) => row!.importance[a]! - row!.importance[b]!);
  return { least: order[0]!, most: order.at(-1)! };
}

export const experiment = experimentOf({
  title: "ADEPT: a new language in copies of blocks",
  about: `Two languages over the same 16 symbols, told apart by the first token, 800 rows each. A decoder of ${LAYERS} blocks learns the old one
in 150 steps of 16 rows, then the new one in 100. *Full* trains all weights; the others train a copy of one block alone (\`merge --method
expand\`): behind the block that matters least to the old language by \`--probe layer-importance\`, or most; *rates* scales the steps of the
copy's tensors by what they matter to the old language (\`--unit-rates\`, measured every 20 steps on 64 rows). Held-out losses in nats.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    "before: old": {},
    "full: old": {},
    "full: new": {},
    "least: old": {},
    "least: new": {},
    "least, rates: old": {},
    "least, rates: new": {},
    "most, rates: old": {},
    "most, rates: new": {},
    "least, rates − full, old": { below: 0 },
    "least, rates − least, old": {},
    "least, rates − most, rates, old": {},
    "least, rates − full, new": {},
  },
  run: (seed) =>
    inLab(async (lab) => {
      const config = decoder({ hidden_size: 32, intermediate_size: 64, num_hidden_layers: LAYERS });
      const data = `${languages(lab, seed)} --batch-size 16 --warmup 10 --seed ${seed}`;
      const start = `${lab.fresh(config)} ${data} --lr 0.01 --steps 150 --method static --mixture 1,0`;
      const { losses: before } = await lab.run(start, "base/");
      keep(lab, 64);
      const { least, most } = await extremes(lab);
      for (const block of new Set([least, most]))
        await said(lab, "merge", `base --method expand --layers ${block} -q -o copied-${block}/`);
      const rates = "--unit-rates kept.jsonl --unit-rates-every 20";
      const after = async (model: string, options: string) => {
        const line = `${model} ${data} --lr 0.003 --steps 250 --method static --mixture 0,1 ${options}`;
        return (await lab.run(line)).losses;
      };
      const copy = (block: number) => `--train-only model.layers.${block + 1}.*`;
      const full = await after("base", "");
      const plain = await after(`copied-${least}`, copy(least));
      const adept = await after(`copied-${least}`, `${copy(least)} ${rates}`);
      const worst = await after(`copied-${most}`, `${copy(most)} ${rates}`);
      return {
        "before: old": before.old!,
        "full: old": full.old!,
        "full: new": full.new!,
        "least: old": plain.old!,
        "least: new": plain.new!,
        "least, rates: old": adept.old!,
        "least, rates: new": adept.new!,
        "most, rates: old": worst.old!,
        "most, rates: new": worst.new!,
        "least, rates − full, old": adept.old! - full.old!,
        "least, rates − least, old": adept.old! - plain.old!,
        "least, rates − most, rates, old": adept.old! - worst.old!,
        "least, rates − full, new": adept.new! - full.new!,
      };
    }),
});
