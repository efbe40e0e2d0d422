import { runScript } from "../../support/command.ts";
import { decoder, inLab, type Lab, rowOf } from "../curriculum-lab.ts";
import { experimentOf } from "../experiment.ts";
import { uniform } from "../support.ts";

const [SYMBOLS, LENGTH] = [8, 4];
const KNOWN = [0, 1, 2];
const [NEW, STEPS] = [3, 60];
/** Which of the symbols is the answer. */
const TASKS = ["first", "last"] as const;
type Task = (typeof TASKS)[number];
const FILLERS = 6;
const [STYLES, FIRST_FILLER, SEPARATOR] = [4, 4 + SYMBOLS, 4 + SYMBOLS + FILLERS];

/** What a style says after each symbol. */
function styleOf(seed: number, style: number): number[] {
  const next = uniform(1000 * seed + style);
  return Array.from({ length: SYMBOLS }, () => Math.floor(next() * FILLERS));
}

interface Asked {
  readonly task: Task;
  /** Whether a word says which. */
  readonly told: boolean;
  readonly style: number;
  readonly count: number;
  /** Tells draws apart. */
  readonly first: number;
}

/** Rows: the style, the word for the task or none, symbols, and the one that is asked for with the style's filler. */
function rowsOf(seed: number, { task, told, style, count, first }: Asked) {
  const says = styleOf(seed, style);
  const next = uniform(100_000 * seed + 1000 * style + first);
  return Array.from({ length: count }, () => {
    const symbols = Array.from({ length: LENGTH }, () => Math.floor(next() * SYMBOLS));
    const answer = task === "first" ? symbols[0]! : symbols.at(-1)!;
    const prompt = [
      style,
      SEPARATOR + (told ? (task === "first" ? 1 : 2) : 0),
      ...symbols.map((symbol) => STYLES + symbol),
      SEPARATOR + 3,
    ];
    const said = [STYLES + answer, FIRST_FILLER + says[answer]!];
    return { ...rowOf([...prompt, ...said], prompt.length), token_marks: [...prompt.map(() => 0), 1, 2] };
  });
}

async function run(lab: Lab, script: string, line: string): Promise<string> {
  const { code, text, err } = await runScript(script, [...line.split(" "), "-q"], lab.folder);
  if (code !== 0) throw new Error(`${script} ${line}\n${err}`);
  return text;
}

async function accuracy(lab: Lab, model: string, rows: string): Promise<number> {
  const text = await run(lab, "evaluate", `${model} --data ${rows}.jsonl --metric accuracy --json`);
  return (JSON.parse(text) as { rows: { value: number }[] }).rows[0]!.value;
}

const LORA = "--lora --lora-rank 4 --lora-alpha 8 --lora-targets q_proj,k_proj";
/** What is trained: the triplet's steps are shared by three adapters. */
const RUNS = {
  "one LoRA": `${LORA},gate_proj,up_proj,down_proj --steps ${STEPS}`,
  "one LoRA, three times the steps": `${LORA},gate_proj,up_proj,down_proj --steps ${3 * STEPS}`,
  "LoRA of queries and keys": `${LORA} --steps ${STEPS}`,
  "lora-triplet": `--adapter lora-triplet --adapter-rank 4 --adapter-alpha 8 --triplet-nuisance 4 --steps ${3 * STEPS}`,
} as const;
const ROWS = Object.keys(RUNS) as (keyof typeof RUNS)[];

export const experiment = experimentOf({
  title: "`lora-triplet`: a task that comes in one style, in others",
  about: `Rows are a style, a word for the task, ${LENGTH} symbols, and the answer: the first or the last of the symbols, and a filler that the style has
for it. A decoder of one layer learns both tasks in three styles; where the word says neither, the answer is one of the two. Then, without a
word, the last symbol is wanted, in 300 rows of a fourth style, whose fillers are new: ${STEPS} steps of 20 rows, of \`lora-triplet\` three times
as many, of which each of its adapters has a third; answers have the mark of the wanted one, fillers that of the first nuisance. Accuracy of answers
and fillers in the fourth style and in the three others, in which the task was never asked for so. One adapter for all learns the fillers
as well, and takes them along. That the wanted adapter alone does not know the fourth style's fillers is what it is for.`,
  columns: ["its style", "others"],
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    ...Object.fromEntries(
      ["base", ...ROWS].flatMap((row) => [`${row}: its style`, `${row}: others`].map((one) => [one, {}])),
    ),
    "lora-triplet beside one LoRA: others": { above: 0.05 },
    "lora-triplet beside base: others": { above: 0.1 },
  },
  run: (seed) =>
    inLab(async (lab) => {
      const config = decoder({ hidden_size: 32, intermediate_size: 64, vocab_size: SEPARATOR + 4 });
      const known = (told: boolean, task: Task, count: number, first: number) =>
        KNOWN.flatMap((style) => rowsOf(seed, { task, told, style, count, first }));
      const both = (told: boolean) => TASKS.flatMap((task, i) => known(told, task, 300, 10 * i + (told ? 1 : 0)));
      lab.rows("before", [...both(true), ...both(false)]);
      const wanted = { task: "last", told: false, style: NEW } as const;
      lab.rows("wanted", rowsOf(seed, { ...wanted, count: 300, first: 0 }));
      lab.rows("its-style", rowsOf(seed, { ...wanted, count: 60, first: 500 }));
      lab.rows("others", known(false, "last", 60, 500));
      const usual = `--batch-size 20 --lr 0.01 --warmup 10 --save-every 0 --seed ${seed} --overwrite`;
      await run(lab, "train", `${lab.fresh(config)} --data before.jsonl --steps 400 ${usual} -o base/`);
      const figures: Record<string, number> = {};
      const measure = async (row: string, model: string) => {
        for (const column of ["its style", "others"])
          figures[`${row}: ${column}`] = await accuracy(lab, model, column.replace(" ", "-"));
      };
      await measure("base", "base/");
      for (const row of ROWS) {
        await run(lab, "train", `base/ --data wanted.jsonl ${usual} ${RUNS[row]} -o out`);
        await measure(row, "base/+out");
      }
      for (const beside of ["one LoRA", "base"])
        figures[`lora-triplet beside ${beside}: others`] =
          figures["lora-triplet: others"]! - figures[`${beside}: others`]!;
      return figures;
    }),
});
