/** Batch norms in a stream: what they go by in training and after it, and rows weighed by their task. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { askRows } from "../../../src/adapt/continual/outputs.ts";
import { open } from "../../../src/checkpoint/open.ts";
import { Model } from "../../../src/model/model.ts";
import { dataOf, tensorsOf } from "../../support/checkpoint-values.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { normals } from "../../support/random.ts";
import { NET, pairRows, StreamLab } from "./lab.ts";
import { streamFor } from "./streams.ts";

setDefaultTimeout(120_000); // the machine may be busy

const lab = new StreamLab();
afterAll(() => lab.close());

lab.json("net.json", { ...NET, hidden_norm: "batch" });
lab.json("plain.json", NET);
/** Rows of a task whose numbers lie elsewhere than those of the others. */
const moved = (task: number, count: number) =>
  pairRows(task, count).map(({ x, label }) => ({ x: x.map((value) => value + 1.5 * task), label }));
for (const [task, name] of ["a", "b"].entries()) lab.write(`${name}.jsonl`, moved(task, 96));

const ONE = "--init @net.json --tasks @a.jsonl --batch-size 8 --epochs 2 --lr 0.02";
const TWO = "--init @net.json --tasks @a.jsonl,@b.jsonl --batch-size 8 --lr 0.02";
const bytesOf = (name: string) => dataOf(lab.bytes(`${name}/model.safetensors`));

beforeAll(async () => {
  await lab.run(`${ONE} --method seq --save-every 0 -o @batch`);
});

test("running statistics are those of the layer's outputs, and evaluation goes by them, whatever the batch", async () => {
  const weights = await tensorsOf(lab.at("batch"));
  expect(weights.get("norms.0.running_mean")!.some((value) => Math.abs(value) > 0.01)).toBe(true);
  const { stream } = await streamFor([20], {});
  const model = await Model.load(await sharedGpu(), await open(lab.at("batch")), { freeze: () => true });
  const refs = stream.rows.of([0]);
  const whole = await askRows({ ...stream, model, batchSize: 20 }, refs, "logits");
  const apart = await askRows({ ...stream, model, batchSize: 3 }, refs, "logits");
  for (const [i, logits] of whole.entries())
    for (const [j, value] of logits.entries()) expect(apart[i]![j]!).toBeCloseTo(value, 5);
  model.free();
});

test("of one task, with kappa 1 and no further loss, adab2n is batch normalization", async () => {
  await lab.run(`${ONE} --method seq --norm adab2n --norm-kappa 1 --norm-loss 0 --save-every 0 -o @one`);
  const [batch, one] = [await tensorsOf(lab.at("batch")), await tensorsOf(lab.at("one"))];
  expect([...one.keys()].filter((name) => !batch.has(name))).toEqual(["norms.0.momentum", "norms.0.task_weights"]);
  for (const [name, values] of batch)
    for (const [i, value] of values.entries())
      expect([name, one.get(name)![i]!]).toEqual([name, expect.closeTo(value, 4)]);
});

test("goes on bit for bit in the middle of a task", async () => {
  const line = `${TWO} --method er --norm adab2n --norm-kappa 0.4 --norm-loss-from 0 --save-every 8`;
  await lab.run(`${line} -o @whole`);
  await lab.run(`${line} -o @cut --resume`, { task: "b", step: 6 });
  await lab.run(`${line} -o @cut --resume`);
  expect(bytesOf("cut")).toEqual(bytesOf("whole"));
});

test("old tasks fall less behind the new one than with batch normalization", async () => {
  lab.json("deep.json", { ...NET, hidden_sizes: [16, 16], hidden_norm: "batch" });
  // Every task is noisy, and lies elsewhere and wider than the one before.
  const rows = (task: number, first: number) =>
    Array.from({ length: 160 }, (_, i) => {
      const x = [...normals(10_000 * task + first + i, 8)];
      x[2 * task + (i % 2)]! += 2.5;
      return { x: x.map((value) => (value + 3 * task) * (1 + task / 2)), label: i % 2 };
    });
  for (const [task, name] of ["p", "q", "r"].entries()) {
    lab.write(`${name}.jsonl`, rows(task, 0));
    lab.write(`${name}-held.jsonl`, rows(task, 500));
  }
  const line = `--init @deep.json --tasks @p.jsonl,@q.jsonl,@r.jsonl --batch-size 10 --lr 0.01 --method er --buffer 40
    --eval-tasks p=@p-held.jsonl,q=@q-held.jsonl,r=@r-held.jsonl --save-every 0`;
  const run = async (options: string, out: string) => {
    const [gaps, averages] = [[] as number[], [] as number[]];
    for (const seed of [1, 2]) {
      const { json } = await lab.run(`${line} --seed ${seed} ${options} -o @${out}-${seed}`);
      const [first, second, last] = json.after.accuracy.at(-1);
      gaps.push((last - (first + second) / 2) / 2);
      averages.push(json.metrics.accuracy.average / 2);
    }
    return [gaps[0]! + gaps[1]!, averages[0]! + averages[1]!] as const;
  };
  const [plainGap, plainAverage] = await run("", "plain-norm");
  const [gap, average] = await run("--norm adab2n", "balanced-norm");
  expect(gap).toBeLessThan(plainGap - 0.05);
  expect(average).toBeGreaterThan(plainAverage);
});

test("says what has no batch norm", async () => {
  const line = "--init @plain.json --tasks @a.jsonl --norm adab2n -o @no";
  await expect(lab.run(line)).rejects.toThrow("this mlp has none");
});
