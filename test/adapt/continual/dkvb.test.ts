/** A bottleneck of keys and values: what a row changes, what it leaves, and a stream of classes. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { beginAt, follow, keysOf, revive } from "../../../src/adapt/continual/keys.ts";
import { askRows } from "../../../src/adapt/continual/outputs.ts";
import { open } from "../../../src/checkpoint/open.ts";
import { Random } from "../../../src/data/random.ts";
import { Model } from "../../../src/model/model.ts";
import { dataOf, tensorsOf } from "../../support/checkpoint-values.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { NET, pairRows, StreamLab } from "./lab.ts";
import { streamFor } from "./streams.ts";

setDefaultTimeout(120_000); // the machine may be busy

const lab = new StreamLab();
afterAll(() => lab.close());

const net = { ...NET, hidden_sizes: [24], num_labels: 6 };
lab.json("net.json", net);
for (const [task, name] of ["a", "b", "c"].entries()) {
  lab.write(`${name}.jsonl`, pairRows(task, 60, { label: 2 * task }));
  lab.write(`${name}-held.jsonl`, pairRows(task, 40, { first: 100, label: 2 * task }));
}
lab.write("one.jsonl", pairRows(0, 1));
// Rows of every kind, which say nothing of their classes.
lab.write(
  "bare.jsonl",
  [0, 1, 2].flatMap((task) => pairRows(task, 60, { first: 200 }).map(({ x }) => ({ x }))),
);

const HEAD = "--codebooks 16 --keys 24 --key-size 4 --key-data @bare.jsonl";
const LOCAL = "--optimizer sgd --momentum 0 --schedule constant --save-every 0";
const ONE = `--init @net.json --tasks @one.jsonl --method dkvb ${LOCAL} --lr 8 --steps 1`;

/** Logits of all rows of three tasks, by the model of a result. */
async function logitsOf(name: string): Promise<Float32Array[]> {
  const { stream } = await streamFor([30, 30, 30], {}, { labels: [0, 2, 4], net });
  const model = await Model.load(await sharedGpu(), await open(lab.at(name)), { freeze: () => true });
  const found = await askRows({ ...stream, model }, stream.rows.of([0, 1, 2]), "logits");
  model.free();
  return found;
}

test("one row changes the values of its keys alone, and the answer to rows that share none stays", async () => {
  await lab.run(`${ONE} ${HEAD} -o @one`);
  const weights = await tensorsOf(lab.at("one"));
  const values = weights.get("classifier.values")!;
  const changed = [...values.keys()].filter((i) => values[i] !== 0);
  expect(changed.length).toBe(6 * 16); // of each head one key, for each of six classes
  const logits = await logitsOf("one");
  const same = logits.filter((row) => row.every((value) => value === 0));
  expect(same.length).toBeGreaterThan(0);
  expect(logits.length - same.length).toBeGreaterThan(0);
  const [first] = logits; // the row that was learnt: -lr (p - y), y = 0 of six classes
  for (const [label, logit] of first!.entries())
    expect(logit).toBeCloseTo((8 * ((label === 0 ? 1 : 0) - 1 / 6)) / 16, 5);
});

test("one key gives every row the same answer", async () => {
  await lab.run(`${ONE} --codebooks 4 --keys 1 --key-size 3 --key-data @bare.jsonl -o @single`);
  const [first, ...others] = await logitsOf("single");
  expect(first!.some((value) => value !== 0)).toBe(true);
  for (const row of others) expect(row).toEqual(first!);
});

const STREAM = `--init @net.json --tasks @a.jsonl,@b.jsonl,@c.jsonl --epochs 3 --batch-size 6 ${LOCAL}
  --eval-tasks a=@a-held.jsonl,b=@b-held.jsonl,c=@c-held.jsonl`;

// biome-ignore lint/suspicious/noExplicitAny: the figures that the command gives as JSON
let result: any;
beforeAll(async () => {
  result = (await lab.run(`${STREAM} --method dkvb ${HEAD} --lr 16 -o @stream`)).json;
});

test("a stream of classes is kept far better than by a linear probe, and nearly as well as by one of all rows", async () => {
  const probe = "--train-only classifier* --lr 0.1";
  const [one, all] = [
    await lab.run(`${STREAM} --method seq ${probe} -o @probe`),
    await lab.run(`${STREAM} --method joint ${probe} -o @all`),
  ];
  const average = result.metrics.accuracy.average;
  expect(one.json.metrics.accuracy.average).toBeLessThan(0.7);
  expect(average).toBeGreaterThan(one.json.metrics.accuracy.average + 0.3);
  expect(average).toBeGreaterThan(all.json.metrics.accuracy.average - 0.15);
});

test("encoder, projections and keys stay; a further stream takes them over", async () => {
  const before = await tensorsOf(lab.at("stream"));
  const again = await lab.run(`${STREAM.replace("--init @net.json", "@stream")} --method dkvb --lr 16 -o @again`);
  const after = await tensorsOf(lab.at("again"));
  for (const [name, values] of before)
    if (name !== "classifier.values") expect([name, after.get(name)]).toEqual([name, values]);
  expect(after.get("classifier.values")).not.toEqual(before.get("classifier.values"));
  // It begins with what the first stream had learnt.
  expect(again.json.before.accuracy[0]).toEqual(result.after.accuracy.at(-1));
});

test("goes on bit for bit in the middle of a task, with the keys that were learnt", async () => {
  const line = `${STREAM.replace("--save-every 0", "--save-every 5")} --method dkvb ${HEAD} --lr 16`;
  await lab.run(`${line} -o @cut --resume`, { task: "b", step: 7 });
  const end = await lab.run(`${line} -o @cut --resume`);
  expect(end.json.after).toEqual(result.after);
  const bytes = (name: string) => dataOf(lab.bytes(`${name}/model.safetensors`));
  expect(bytes("cut")).toEqual(bytes("stream"));
});

test("says what takes no such head", async () => {
  lab.json("gpt2.json", { model_type: "gpt2" });
  await expect(lab.run(`--init @gpt2.json --tasks @a.jsonl --method dkvb -o @no`)).rejects.toThrow("a gpt2 takes none");
});

test("keys are moving averages of what chose them, and begin anew where nothing does", () => {
  const head = { codebooks: 1, keys: 2, key_size: 1 };
  const averages = beginAt({ rows: 2, u: Float32Array.of(1, 5) }, head);
  const batch = { rows: 4, u: Float32Array.of(2, 2, 3, 1), places: Int32Array.of(0, 0, 0, 0) };
  follow(averages, batch, head, 0.5);
  expect([...averages.n]).toEqual([0.5 + 2, 0.5]); // half of 1, and half of 4 rows
  expect([...averages.s]).toEqual([0.5 + 4, 2.5]);
  const [first, second] = keysOf(averages, head);
  expect(first!).toBeCloseTo(4.5 / 2.5, 3);
  expect(second!).toBeCloseTo(2.5 / 0.5, 3);
  revive(averages, batch, head, new Random(1, "test"));
  expect([...averages.n]).toEqual([2.5, 0.5]); // 0.5 is more than a tenth of the mean
  for (let i = 0; i < 4; i++) follow(averages, batch, head, 0.5);
  revive(averages, batch, head, new Random(1, "test"));
  expect([1, 2, 3]).toContain(Math.round(100 * keysOf(averages, head)[1]!) / 100);
});
