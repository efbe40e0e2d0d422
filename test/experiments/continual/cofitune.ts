import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runScript } from "../../support/command.ts";
import { decoder, inLab, type Lab, Language, type Row } from "../curriculum-lab.ts";
import { experimentOf } from "../experiment.ts";

const LAYERS = 4;

/** Runs a command of the lab; gives what it says. */
async function said(lab: Lab, script: string, line: string): Promise<string> {
  const { code, text, err } = await runScript(script, line.split(" "), lab.folder);
  if (code !== 0) throw new Error(`${script} ${line}\n${err}`);
  return text;
}

/** Options for a general language and a task's over the same 16 symbols, each row headed by a token of its own. */
function languages(lab: Lab, seed: number): string {
  const of = (count: number, first: number): Record<string, Row[]> => {
    const [general, task] = [0, 1].map((i) => {
      const language = new Language({ seed: 10 * seed + i, size: 16, sharpness: 12 });
      return language.rows(count, first + i, { prefix: [30 + i] });
    });
    return { general: general!, task: task! };
  };
  return lab.groups(of(800, 100 * seed), of(64, 100 * seed + 50));
}

/** Writes the first rows of a language to a file. */
function keep(lab: Lab, name: string, count: number): void {
  const lines = readFileSync(join(lab.folder, `set-0/${name}-train.jsonl`), "utf8").split("\n");
  writeFileSync(join(lab.folder, `${name}.jsonl`), `${lines.slice(0, count).join("\n")}\n`);
}

/** Options that train the range which the coarse search finds. */
async function searched(lab: Lab): Promise<string> {
  const settings = "--layer-range-general general --layer-range-steps 60 --layer-range-lr 0.003 --layer-range-batch 16";
  const line = `base --data task.jsonl --data general.jsonl --probe layer-range ${settings} --json -q`;
  const [found] = (JSON.parse(await said(lab, "evaluate", line)) as { rows: { best: { patterns: string[] } }[] }).rows;
  return found!.best.patterns.map((pattern) => `--train-only ${pattern}`).join(" ");
}

export const experiment = experimentOf({
  title: "CoFiTune: a task through a range of blocks, softly masked",
  about: `A decoder of ${LAYERS} blocks learns a general language of 16 symbols in 150 steps of 16 rows, then in 200 a task's language over the
same symbols, told apart by the first token. *Full* trains all weights, *range* those that the coarse search finds (\`evaluate --probe layer-range\` on 200
rows, 60 steps a range), *mask* moves each of their rows the less the more it matters to the general language (\`--probe unit-importance\`,
\`--softmask\`), both the same by \`--softmask-apply grad\`. Held-out losses in nats.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    "before: general": {},
    "full: general": {},
    "full: task": {},
    "range: general": {},
    "range: task": {},
    "mask: general": {},
    "mask: task": {},
    "mask, grad: general": {},
    "mask, grad: task": {},
    "range − full, general": { below: 0 },
    "mask − range, general": { below: 0 },
    "mask − full, task": {},
  },
  run: (seed) =>
    inLab(async (lab) => {
      const config = decoder({ hidden_size: 32, intermediate_size: 64, num_hidden_layers: LAYERS });
      const data = `${languages(lab, seed)} --batch-size 16 --warmup 10 --seed ${seed}`;
      const start = `${lab.fresh(config)} ${data} --lr 0.01 --steps 150 --method static --mixture 1,0`;
      const { losses: before } = await lab.run(start, "base/");
      for (const name of ["general", "task"]) keep(lab, name, 200);
      const range = await searched(lab);
      const kinds = "--unit-importance-kinds inner,output,heads --unit-importance-save mask.safetensors";
      await said(lab, "evaluate", `base --data general.jsonl --probe unit-importance ${kinds} -q`);
      const after = async (options: string) => {
        const line = `base ${data} --lr 0.003 --steps 200 --method static --mixture 0,1 ${options}`;
        return (await lab.run(line)).losses;
      };
      const full = await after("");
      const ranged = await after(range);
      const masked = await after(`${range} --softmask mask.safetensors`);
      const graded = await after(`${range} --softmask mask.safetensors --softmask-apply grad`);
      return {
        "before: general": before.general!,
        "full: general": full.general!,
        "full: task": full.task!,
        "range: general": ranged.general!,
        "range: task": ranged.task!,
        "mask: general": masked.general!,
        "mask: task": masked.task!,
        "mask, grad: general": graded.general!,
        "mask, grad: task": graded.task!,
        "range − full, general": ranged.general! - full.general!,
        "mask − range, general": masked.general! - ranged.general!,
        "mask − full, task": masked.task! - full.task!,
      };
    }),
});
