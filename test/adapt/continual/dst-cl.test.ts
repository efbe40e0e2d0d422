/** Sparse sub-networks: what a task has learnt answers as it did, to the bit, whatever comes later. */
import { afterAll, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { tensorsOf } from "../../support/checkpoint-values.ts";
import { NET, pairRows, StreamLab } from "./lab.ts";

const lab = new StreamLab();
afterAll(() => lab.close());

const NAMES = ["a", "b", "c"];
for (const [task, name] of NAMES.entries()) {
  lab.write(`${name}.jsonl`, pairRows(task, 40));
  lab.write(`${name}-held.jsonl`, pairRows(task, 20, { first: 40 }));
}
lab.json("net.json", { ...NET, hidden_sizes: [24, 24] });

const HELD = "--eval-tasks a=@a-held.jsonl,b=@b-held.jsonl,c=@c-held.jsonl";
const STREAM = `--init @net.json --tasks @a.jsonl,@b.jsonl,@c.jsonl ${HELD} --epochs 6 --batch-size 8 --lr 0.02 --save-every 0`;
const DST = "--method dst-cl --density 0.25 --update-every 5";

const weights = (name: string) => tensorsOf(lab.at(name));
const LAYERS = ["layers.0.weight", "layers.1.weight"];

async function zerosOf(name: string): Promise<number[]> {
  const found = await weights(name);
  return LAYERS.map((layer) => found.get(layer)!.filter((x) => x !== 0).length);
}

test("a task scores at the end what it scored when it was learnt, and its network is as it was", async () => {
  const { json } = await lab.run(`${STREAM} ${DST} --grow gradient -o @dst`);
  for (const task of [0, 1, 2]) {
    const own = json.after.loss.slice(task).map((row: number[]) => row[task]);
    expect(new Set(own).size).toBe(1);
  }
  expect(json.metrics.accuracy.forgetting).toBe(0);
  expect(json.metrics.accuracy.average).toBeGreaterThan(0.9);
  expect(readdirSync(lab.at("dst-tasks")).sort()).toEqual(["0", "1", "2"]);
  await expect(lab.run(`${STREAM} ${DST} -o @dst/`)).rejects.toThrow("dst-tasks is there already");
  // A stream that ends after the first task has the same first network.
  const first = await lab.run(
    `${STREAM.replace(",@b.jsonl,@c.jsonl", "").replace(/,b=.*?jsonl,c=.*?jsonl/, "")} ${DST} --grow gradient -o @first`,
  );
  expect(await weights("first")).toEqual(await weights("dst-tasks/0"));
  expect(first.json.after.loss[0][0]).toBe(json.after.loss[0][0]);
  // 0.25 (8 * 24 + 24 * 24) weights, more of them in the smaller layer by ERK.
  expect(json.weights).toEqual([192, 192, 192]);
  for (const task of [0, 1, 2]) {
    const [one, two] = await zerosOf(`dst-tasks/${task}`);
    expect(one! + two!).toBeLessThanOrEqual(192);
    expect(one! / (8 * 24)).toBeGreaterThan(two! / (24 * 24));
  }
}, 120_000);

test("without moves it is static sparse training, however places would be won; moves change it", async () => {
  const runs = ["--drop-fraction 0", "--drop-fraction 0 --grow momentum", "", "--grow momentum"];
  const line = `${STREAM.replace("--epochs 6", "--epochs 2")} ${DST}`;
  for (const [i, options] of runs.entries()) await lab.run(`${line} ${options} -o @static-${i}`);
  expect(await weights("static-0")).toEqual(await weights("static-1"));
  expect(await weights("static-2")).not.toEqual(await weights("static-0"));
  expect(await weights("static-3")).not.toEqual(await weights("static-2"));
  const uniform = await lab.run(`${line} --sparsity-init uniform -o @uniform`);
  expect(uniform.json.weights).toEqual([192, 192, 192]);
  // What never had a gradient is there, and 0 still.
  const [one, two] = await zerosOf("uniform");
  expect([one! <= 48, one! > 40, two! <= 144, two! > 115]).toEqual([true, true, true, true]);
}, 120_000);

test("goes on bit for bit", async () => {
  const line = `${STREAM.replace("--save-every 0", "--save-every 8").replace("--epochs 6", "--epochs 2")} ${DST.replace("5", "3")} --grow unfired`;
  const whole = await lab.run(`${line} -o @whole`);
  for (const [task, step] of [
    ["b", 7],
    ["c", 1],
  ] as const)
    await lab.run(`${line} -o @cut --resume`, { task, step });
  const end = await lab.run(`${line} -o @cut --resume`);
  expect(end.json).toEqual(whole.json);
  for (const name of ["", "-tasks/0", "-tasks/1"])
    expect(await weights(`cut${name}`)).toEqual(await weights(`whole${name}`));
}, 120_000);

test("does not tell classes of several tasks apart: the task of a row must be known", async () => {
  const classes = lab.run(`${STREAM} ${DST} --scenario class -o @classes`);
  await expect(classes).rejects.toThrow("nobody says which task a row is of");
});
