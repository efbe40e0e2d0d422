import { join } from "node:path";
import { runScript } from "../../support/command.ts";
import { inLab, type Lab } from "../curriculum-lab.ts";
import { experimentOf } from "../experiment.ts";
import { normal, randomArray } from "../support.ts";

const CLASSES = 10;
const INPUTS = 12;
const MOST = 500;
const RATIO = 50;

/** Points around a centre of each class, ever fewer from the first class to the last. */
function writeRows(lab: Lab, seed: number): void {
  const next = normal(seed);
  const centres = Array.from({ length: CLASSES }, () => randomArray(INPUTS, next));
  const row = (label: number) => ({ x: [...centres[label]!].map((c) => c + 1.1 * next()), label });
  const counts = centres.map((_, label) => Math.round(MOST * RATIO ** (-label / (CLASSES - 1))));
  lab.rows(
    "train",
    counts.flatMap((count, label) => Array.from({ length: count }, () => row(label))),
  );
  lab.rows(
    "all",
    Array.from({ length: 1000 }, (_, i) => row(i % CLASSES)),
  );
  lab.rows(
    "tail",
    Array.from({ length: 600 }, (_, i) => row(CLASSES - 4 + (i % 4))),
  );
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

export const experiment = experimentOf({
  title: "`--head sparse-etf` and `norm_realign` on classes of which the last has a fiftieth of the first",
  about: `A perceptron of two hidden layers on points around ten centres, 500 rows of the first class down to 10 of the last; 800 steps of SGD
with momentum. Accuracy on rows of all classes alike, and of the four rarest (tail). The head's rows tend to grow long where a class is frequent
under SGD, so that one length for all gives the rare classes their share, on two of three draws; on the third, rows of rare classes are the
longer ones, and realignment takes from the tail. Under AdamW, whose steps do not shrink with the gradient, it did so as well.`,
  seeds: [1, 2, 3],
  tested: 1,
  figures: {
    "learnt head": {},
    "fixed head": {},
    "fixed head, realigned": {},
    "tail, learnt head": {},
    "tail, fixed head": {},
    "tail, fixed head, realigned": {},
    "tail, realigned − not": { above: 0 },
    "realigned − learnt head": {},
  },
  run: (seed) =>
    inLab(async (lab) => {
      writeRows(lab, seed);
      const config = { model_type: "mlp", input_size: INPUTS, hidden_sizes: [64, 32], num_labels: CLASSES };
      await Bun.write(join(lab.folder, "mlp.json"), JSON.stringify(config));
      const usual = `--init mlp.json --data train.jsonl --batch-size 32 --steps 800 --optimizer sgd --momentum 0.9 --lr 0.1`;
      await run(lab, "train", `${usual} --seed ${seed} -o learnt/`);
      await run(lab, "train", `${usual} --seed ${seed} --head sparse-etf --etf-steps 2000 -o fixed/`);
      await run(lab, "merge", "fixed/ --method norm_realign --head classifier.weight -o realigned/");
      const of = async (rows: string) => [
        await accuracy(lab, "learnt/", rows),
        await accuracy(lab, "fixed/", rows),
        await accuracy(lab, "realigned/", rows),
      ];
      const [learnt, fixed, realigned] = await of("all");
      const [tailLearnt, tailFixed, tailRealigned] = await of("tail");
      return {
        "learnt head": learnt!,
        "fixed head": fixed!,
        "fixed head, realigned": realigned!,
        "tail, learnt head": tailLearnt!,
        "tail, fixed head": tailFixed!,
        "tail, fixed head, realigned": tailRealigned!,
        "tail, realigned − not": tailRealigned! - tailFixed!,
        "realigned − learnt head": realigned! - learnt!,
      };
    }),
});
