import { readFileSync } from "node:fs";
import { join } from "node:path";
import { runScript } from "../../support/command.ts";
import { inLab, type Lab } from "../curriculum-lab.ts";
import { experimentOf } from "../experiment.ts";
import { CONFIG, changed, rowsOf, shuffled } from "../merge-experts.ts";
import { uniform } from "../support.ts";

/** Symbols in which each part's language differs from the one that counts. */
const PARTS = [2, 6, 10, 14];
const NAMES = PARTS.map((_, i) => `part${i}`);
const PAIRS = NAMES.flatMap((_, i) => NAMES.slice(i + 1).map((_, j) => [i, i + 1 + j] as const));

async function run(lab: Lab, script: string, line: string): Promise<string> {
  const { code, text, err } = await runScript(script, [...line.split(" "), "-q"], lab.folder);
  if (code !== 0) throw new Error(`${script} ${line}\n${err}`);
  return text;
}

/** Ranks of values, the least first. */
const ranks = (values: readonly number[]): number[] =>
  values.map((value) => values.filter((other) => other < value).length);

/** Spearman's rank correlation of values without ties. */
function spearman(a: readonly number[], b: readonly number[]): number {
  const [x, y] = [ranks(a), ranks(b)];
  const squares = x.reduce((sum, rank, i) => sum + (rank - y[i]!) ** 2, 0);
  return 1 - (6 * squares) / (a.length * (a.length ** 2 - 1));
}

/** Losses of merges of subsets by the names of their parts, from the trials of a search over weights of 0 and 1. */
async function proxies(lab: Lab): Promise<Map<string, number>> {
  const budget = 2 ** NAMES.length;
  const models = NAMES.map((name) => `${name}.safetensors`).join(" ");
  const search = `--method linear --search grid --search-space weight=0|1 --budget ${budget} --data held.jsonl`;
  await run(lab, "merge", `${models} ${search} --objective loss --trials trials.jsonl --recipes best.yml`);
  const lines = readFileSync(join(lab.folder, "trials.jsonl"), "utf8").trim().split("\n").slice(1);
  return new Map(
    lines.map((line) => {
      const { point, scores } = JSON.parse(line) as { point: Record<string, number>; scores: { loss: number } };
      const parts = NAMES.filter((_, i) => Object.values(point)[i] === 1);
      return [parts.join("+"), scores.loss];
    }),
  );
}

export const experiment = experimentOf({
  title: "Averages of models foretell which data to train on (mix-proxy)",
  about: `Four parts of a corpus, whose languages differ from the one that counts in 2 to 14 of 16 symbols. From one base a model is trained
on each part (60 steps), and for comparison on every pair (60 steps). A search over weights of 0 and 1 (\`merge --method linear --search grid
--search-space weight=0|1\`) gives the loss of the average of every subset. The paper asks for a rank correlation above 0.7 between average
and training, over the pairs.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    "rank correlation over pairs": { above: 0.7 },
    "average − training, mean of the pairs": {},
    "a part alone: average − training": { is: 0 },
  },
  run: (seed) =>
    inLab(async (lab) => {
      const next = uniform(seed);
      const wanted = shuffled(next);
      lab.rows("held", rowsOf(wanted, 0, 96, 1000 * seed));
      lab.rows("common", rowsOf(changed(wanted, next, 8), 0, 200, 1000 * seed + 1));
      for (const [i, symbols] of PARTS.entries())
        lab.rows(NAMES[i]!, rowsOf(changed(wanted, next, symbols), 0, 200, 1000 * seed + 10 + i));
      const usual = `--batch-size 16 --warmup 5 --seed ${seed} --save-every 0`;
      await run(
        lab,
        "train",
        `${lab.fresh(CONFIG)} --data common.jsonl ${usual} --lr 0.01 --steps 60 -o base.safetensors`,
      );
      const train = (parts: readonly string[], out: string) => {
        const data = parts.map((part) => `--data ${part}.jsonl`).join(" ");
        return run(lab, "train", `base.safetensors ${data} ${usual} --lr 0.003 --steps 60 -o ${out}.safetensors`);
      };
      const lossOf = async (model: string): Promise<number> => {
        const text = await run(lab, "evaluate", `${model}.safetensors --data held.jsonl --metric loss --json`);
        return JSON.parse(text).rows[0].value;
      };
      for (const name of NAMES) await train([name], name);
      const proxy = await proxies(lab);
      const [average, trained]: [number[], number[]] = [[], []];
      for (const [i, j] of PAIRS) {
        const names = [NAMES[i]!, NAMES[j]!];
        await train(names, "union");
        average.push(proxy.get(names.join("+"))!);
        trained.push(await lossOf("union"));
        await Bun.file(join(lab.folder, "union.safetensors")).delete();
      }
      const bias = average.reduce((sum, loss, i) => sum + loss - trained[i]!, 0) / PAIRS.length;
      return {
        "rank correlation over pairs": spearman(average, trained),
        "average − training, mean of the pairs": bias,
        "a part alone: average − training": proxy.get(NAMES[0]!)! - (await lossOf(NAMES[0]!)),
      };
    }),
});
