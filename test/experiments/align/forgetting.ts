import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { runScript } from "../../support/command.ts";
import { decoder, inLab } from "../curriculum-lab.ts";
import type { Experiment } from "../experiment.ts";
import { uniform } from "../support.ts";

const LETTERS = "abcde";
const TASKS: Readonly<Record<string, (text: string) => string>> = {
  reverse: (text) => [...text].reverse().join(""),
  copy: (text) => text,
  sort: (text) => [...text].sort().join(""),
  shift: (text) => Array.from(text, (letter) => LETTERS[(LETTERS.indexOf(letter) + 1) % 5]!).join(""),
};
const WAYS = ["sft", "rft", "rft-kl", "rft-filtered"] as const;
const COLUMNS = ["learned", "average", "forgetting", "shift", "KL, nats", "moved", "answers"] as const;

interface Row {
  readonly paradigm: string;
  readonly accuracy: readonly (readonly number[])[];
  readonly average: number;
  readonly forgetting: number;
  readonly general: number;
  readonly kl: number;
  readonly moved: number;
  readonly rollouts: number;
}

/** Every text of three letters as the prompt of a task, in an order drawn by seed. */
function rowsOf(name: string, seed: number) {
  const texts = [...LETTERS].flatMap((a) => [...LETTERS].flatMap((b) => [...LETTERS].map((c) => a + b + c)));
  const next = uniform(seed);
  const drawn = texts.map((text) => [next(), text] as const).sort(([a], [b]) => a - b);
  return drawn.map(([, text]) => ({ prompt: `${name.slice(0, 2)}:${text}=`, completion: TASKS[name]!(text) }));
}

export const experiment: Experiment = {
  title: "What is forgotten by rewards, and by answers",
  about: `Texts of three letters of five, to be reversed, copied and sorted, one task after the other; a decoder of two layers that read 60 rows of
each task, and of a fourth (shifting letters by one), for 50 steps, and does some of each right. \`evaluate --probe forgetting-paradigm\`: at most 60
steps a task, 64 rows or answers each, AdamW at 1e-3 by answers and at 5e-4 by rewards; a task ends at 85 % of held-out rows. *Learned* is the mean
share of right answers just after each task, *forgetting* its change to the end on the first two, *shift* the change of the task that nobody
trains, *KL* from the model as it was on prompts of the first two, *answers* how many the model sampled. By rewards all ways forget less and stay
nearer, but learn less in 60 steps, so that accuracies are not alike; no fewer weights move, and leaving out rows that are never solved saves no
answers, because the attempts count.`,
  columns: COLUMNS,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: Object.fromEntries(
    [
      ...WAYS.flatMap((way) => COLUMNS.map((column) => `${way}: ${column}`)),
      "rft − sft: forgetting",
      "rft − sft: KL, nats",
    ].map((name) => [
      name,
      name === "rft − sft: forgetting" ? { above: 0 } : name === "rft − sft: KL, nats" ? { below: 0 } : {},
    ]),
  ),
  run: (seed) =>
    inLab(async ({ folder }) => {
      const run = async (script: string, line: string) => {
        const { code, err, text } = await runScript(script, line.split(" "), folder);
        if (code !== 0) throw new Error(`${script} ${line}\n${err}`);
        return text;
      };
      const write = (name: string, rows: readonly object[]) =>
        writeFileSync(join(folder, `${name}.jsonl`), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
      const all = Object.keys(TASKS).map((name, i) => [name, rowsOf(name, 10 * seed + i)] as const);
      for (const [name, rows] of all) write(name, rows);
      write(
        "some",
        all.flatMap(([, rows]) => rows.slice(0, 60)),
      );
      const config = decoder({
        ...{ vocab_size: 264, hidden_size: 48, intermediate_size: 96, num_hidden_layers: 2 },
        ...{ num_attention_heads: 4, num_key_value_heads: 4 },
      });
      writeFileSync(join(folder, "small.json"), JSON.stringify(config));
      await run(
        "train",
        `--init small.json --tokenizer byte --data some.jsonl --batch-size 48 --steps 50 --lr 4e-3 --schedule constant --save-every 0 -q --seed ${seed} -o base/`,
      );
      const flag = (name: string, value: number | string) => `--forgetting-paradigm-${name} ${value}`;
      const asked = [
        ...Object.keys(TASKS).map((name) => `--data ${name}=${name}.jsonl`),
        ...[flag("general", "shift"), flag("steps", 60), flag("batch", 64), flag("every", 5), flag("goal", 0.85)],
        ...[flag("lr", 5e-4), flag("sft-lr", 1e-3)],
      ].join(" ");
      const { rows } = JSON.parse(
        await run("evaluate", `base/ --probe forgetting-paradigm ${asked} --json -q --seed ${seed}`),
      ) as { rows: readonly Row[] };
      const figures = Object.fromEntries(
        rows.flatMap(({ paradigm: way, accuracy, average, forgetting, general, kl, moved, rollouts }) => [
          [`${way}: learned`, accuracy.reduce((sum, row, k) => sum + row[k]!, 0) / accuracy.length],
          [`${way}: average`, average],
          [`${way}: forgetting`, forgetting],
          [`${way}: shift`, general],
          [`${way}: KL, nats`, kl],
          [`${way}: moved`, moved],
          [`${way}: answers`, rollouts],
        ]),
      ) as Record<string, number>;
      for (const column of ["forgetting", "KL, nats"])
        figures[`rft − sft: ${column}`] = figures[`rft: ${column}`]! - figures[`sft: ${column}`]!;
      return figures;
    }),
};
