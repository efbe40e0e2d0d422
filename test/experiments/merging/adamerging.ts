import { readFileSync } from "node:fs";
import { join } from "node:path";
import { readIndependently } from "../../checkpoint/sample.ts";
import { runScript } from "../../support/command.ts";
import { inLab, type Lab, mean } from "../curriculum-lab.ts";
import { experimentOf } from "../experiment.ts";
import { normal, randomArray } from "../support.ts";

const TASKS = ["one", "two", "three"] as const;
const INPUTS = 12;
const CLASSES = 5;
const WEIGHTS = [0.15, 0.3, 0.45, 0.6, 1];

/** Points around a centre of each class, which every task has elsewhere. */
function writeRows(lab: Lab, seed: number): void {
  const next = normal(seed);
  const all: object[] = [];
  for (const task of TASKS) {
    const centres = Array.from({ length: CLASSES }, () => randomArray(INPUTS, next));
    const rows = (count: number) =>
      Array.from({ length: count }, (_, i) => {
        const label = i % CLASSES;
        return { x: [...centres[label]!].map((c) => c + 0.7 * next()), label };
      });
    const learn = rows(250);
    all.push(...learn.slice(0, 40));
    lab.rows(task, learn);
    lab.rows(`${task}-test`, rows(300));
    lab.rows(
      `${task}-tune`,
      rows(100).map(({ x }) => ({ x })),
    );
  }
  lab.rows("mixed", all);
}

async function run(lab: Lab, script: string, line: string): Promise<string> {
  const { code, text, err } = await runScript(script, [...line.split(" "), "-q"], lab.folder);
  if (code !== 0) throw new Error(`${script} ${line}\n${err}`);
  return text;
}

const EXPERTS = TASKS.map((task) => `expert-${task}`);
const OWN = `--base base --method adamerging --tune-own classifier.*`;
const DATA = TASKS.map((task) => `--tune-data ${task}-tune.jsonl`).join(" ");

/** Mean over the tasks of the accuracy of a merged trunk under each expert's head. */
async function judged(lab: Lab, name: string, options: string): Promise<number> {
  const found: number[] = [];
  for (const [k, task] of TASKS.entries()) {
    const out = `${name}-${task}`;
    await run(lab, "merge", `${EXPERTS.join(" ")} ${OWN} ${options} --files ${EXPERTS[k]} -o ${out}/`);
    const text = await run(lab, "evaluate", `${out} --data ${task}-test.jsonl --metric accuracy --json`);
    found.push((JSON.parse(text) as { rows: { value: number }[] }).rows[0]!.value);
  }
  return mean(found);
}

/** Learns, and gives the name of the table. */
async function learnt(lab: Lab, name: string, options: string): Promise<string> {
  await run(lab, "merge", `${EXPERTS.join(" ")} ${OWN} ${DATA} ${options} -o ${name}/`);
  return `${name}/merge_coefficients.json`;
}

/** Entropy and loss of a model on every row of a task. */
async function byRow(lab: Lab, model: string, task: string): Promise<{ entropy: number; loss: number }[]> {
  const file = join(lab.folder, `${model}.logits.safetensors`);
  await run(lab, "evaluate", `${model} --data ${task}-test.jsonl --metric loss --dump ${file}`);
  const { data } = readIndependently(readFileSync(file)).tensors.get("logits")!;
  const logits = new Float32Array(new Uint8Array(data).buffer); // (rows, classes)
  const labels = readFileSync(join(lab.folder, `${task}-test.jsonl`), "utf8")
    .trim()
    .split("\n");
  return labels.map((line, row) => {
    const own = [...logits.subarray(CLASSES * row, CLASSES * (row + 1))];
    const most = Math.max(...own);
    const sum = Math.log(own.reduce((total, x) => total + Math.exp(x - most), 0)) + most;
    const { label } = JSON.parse(line) as { label: number };
    return { entropy: -own.reduce((total, x) => total + Math.exp(x - sum) * (x - sum), 0), loss: sum - own[label]! };
  });
}

const ranks = (values: readonly number[]): number[] => {
  const order = [...values.keys()].sort((a, b) => values[a]! - values[b]!);
  const found: number[] = [];
  for (const [rank, i] of order.entries()) found[i] = rank;
  return found;
};

/** Spearman's correlation of values without ties. */
function correlation(a: readonly number[], b: readonly number[]): number {
  const [x, y] = [ranks(a), ranks(b)];
  const n = a.length;
  return 1 - (6 * x.reduce((sum, value, i) => sum + (value - y[i]!) ** 2, 0)) / (n * (n * n - 1));
}

export const experiment = experimentOf({
  title: "`adamerging` on three classifiers with heads of their own",
  about: `Perceptrons of two hidden layers, each tuned from one base to points around five centres; the merged trunk is judged under each
expert's head, on rows that nothing else saw. Coefficients are learnt from 100 other rows of each task without labels: 200 steps at a rate
of 0.003. The best weight for all tensors is chosen on the test rows themselves. The correlation is over rows of the learnt model.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    "weight 0.3 for all": {},
    "best of five weights on the test rows": {},
    "adamerging, by tensor": {},
    "adamerging, by model": {},
    "adamerging − weight 0.3": { above: 0 },
    "adamerging − best weight": {},
    "rank correlation of entropy and loss": { above: 0 },
  },
  run: (seed) =>
    inLab(async (lab) => {
      writeRows(lab, seed);
      const config = { model_type: "mlp", input_size: INPUTS, hidden_sizes: [32, 32], num_labels: CLASSES };
      await Bun.write(join(lab.folder, "mlp.json"), JSON.stringify(config));
      const usual = `--batch-size 25 --seed ${seed}`;
      await run(lab, "train", `--init mlp.json --data mixed.jsonl ${usual} --lr 0.005 --steps 150 -o base/`);
      for (const [k, task] of TASKS.entries())
        await run(lab, "train", `base/ --data ${task}.jsonl ${usual} --lr 0.002 --steps 80 -o ${EXPERTS[k]}/`);
      const fixed: number[] = [];
      for (const weight of WEIGHTS)
        fixed.push(await judged(lab, `fixed-${weight}`, `--tune-steps 0 --weight ${weight}`));
      const steps = "--tune-steps 200 --tune-rate 0.003";
      const byTensor = await learnt(lab, "by-tensor", `${steps} --granularity tensor`);
      const byModel = await learnt(lab, "by-model", `${steps} --granularity task`);
      const tensor = await judged(lab, "tensor", `--coefficients ${byTensor}`);
      const rows = (await Promise.all(TASKS.map((task) => byRow(lab, `tensor-${task}`, task)))).flat();
      const start = fixed[WEIGHTS.indexOf(0.3)]!;
      return {
        "weight 0.3 for all": start,
        "best of five weights on the test rows": Math.max(...fixed),
        "adamerging, by tensor": tensor,
        "adamerging, by model": await judged(lab, "task", `--coefficients ${byModel} --granularity task`),
        "adamerging − weight 0.3": tensor - start,
        "adamerging − best weight": tensor - Math.max(...fixed),
        "rank correlation of entropy and loss": correlation(
          rows.map(({ entropy }) => entropy),
          rows.map(({ loss }) => loss),
        ),
      };
    }),
});
