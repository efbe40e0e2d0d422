/** Experts that take over where the loss rises: how many there are, who returns, and what they remember. */
import { afterAll, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { ExpertSelector } from "../../../src/adapt/continual/expert-selector.ts";
import { tensorsOf } from "../../support/checkpoint-values.ts";
import { normals } from "../../support/random.ts";
import { NET, StreamLab } from "./lab.ts";

const lab = new StreamLab();
afterAll(() => lab.close());

/** Rows of two classes by the sign of a number; tasks of kind 1 have another place, and the classes turned. */
const rowsOf = (kind: number, count: number, first: number) =>
  Array.from({ length: count }, (_, i) => {
    const x = [...normals(5000 * kind + first + i, 8)].map((value) => 0.3 * value);
    const own = (first + i) % 2;
    x[0]! += own === kind ? 1.5 : -1.5;
    x[1]! += kind === 0 ? -2 : 2;
    return { x: x.map((value) => Number(value.toFixed(4))), label: own };
  });
for (const [task, [name, kind]] of (
  [
    ["a", 0],
    ["b", 1],
    ["c", 0],
  ] as const
).entries()) {
  lab.write(`${name}.jsonl`, rowsOf(kind, 120, 200 * task));
  lab.write(`${name}-held.jsonl`, rowsOf(kind, 30, 200 * task + 120));
}
lab.write("more.jsonl", rowsOf(0, 240, 1000));
lab.json("net.json", NET);

const ORDER = "--epochs 4 --batch-size 8 --lr 0.02 --schedule constant";
const STREAM = `--init @net.json --tasks @a.jsonl,@b.jsonl,@c.jsonl --eval-tasks a=@a-held.jsonl,b=@b-held.jsonl,c=@c-held.jsonl ${ORDER}`;
const TAME = "--method tame --shift-window 20";

const weights = (name: string) => tensorsOf(lab.at(name));

test("A, B, A: two experts, the first returns, and each row gets its own", async () => {
  const seq = await lab.run(`${STREAM} --save-every 0 -o @seq`);
  const { json } = await lab.run(`${STREAM} ${TAME} --save-every 0 -o @tame`);
  expect(json.experts).toBe(2);
  const turns = json.switches.map(({ stage, from, to }: Record<string, number>) => [stage, from, to]);
  expect(turns).toEqual([
    [1, 0, 1],
    [2, 1, 0],
  ]);
  const last = json.after.accuracy.at(-1);
  expect(Math.min(...last)).toBeGreaterThan(0.9);
  // Sequential training has lost the first task after the second; experts have not.
  expect(seq.json.after.accuracy[1][0]).toBeLessThan(0.6);
  expect(json.after.accuracy[1][0]).toBeGreaterThan(0.9);
  expect(json.metrics.loss.average).toBeLessThan(seq.json.metrics.loss.average);
  // The experts are checkpoints beside the result, which is the one that learnt last.
  expect(readdirSync(lab.at("tame-experts")).sort()).toEqual(["0", "1"]);
  expect(await weights("tame-experts/0")).toEqual(await weights("tame"));
  expect(await weights("tame-experts/1")).not.toEqual(await weights("tame"));
}, 120_000);

test("a stream that does not change has one expert, for several seeds", async () => {
  for (const seed of [1, 2, 3]) {
    const line = `--init @net.json --tasks one=@more.jsonl,two=@a.jsonl ${ORDER} --save-every 0 --seed ${seed}`;
    const { json } = await lab.run(`${line} ${TAME} -o @still-${seed}`);
    expect([seed, json.experts, json.switches]).toEqual([seed, 1, []]);
  }
}, 120_000);

test("a threshold that nothing exceeds is sequential training bit for bit", async () => {
  await lab.run(`${STREAM} ${TAME} --shift-sigmas 1e300 --save-every 0 -o @never`);
  expect(await weights("never")).toEqual(await weights("seq"));
}, 120_000);

test("goes on bit for bit", async () => {
  const line = `${STREAM.replace("--epochs 4", "--epochs 3")} ${TAME} --save-every 9`;
  const whole = await lab.run(`${line} -o @whole`);
  expect(whole.json.experts).toBe(2);
  for (const [task, step] of [
    ["b", 33],
    ["c", 4],
  ] as const)
    await lab.run(`${line} -o @cut --resume`, { task, step });
  const end = await lab.run(`${line} -o @cut --resume`);
  expect(end.json).toEqual(whole.json);
  for (const name of ["", "-experts/0", "-experts/1"])
    expect(await weights(`cut${name}`)).toEqual(await weights(`whole${name}`));
}, 120_000);

test("experts that are adapters know more than one adapter that learns all", async () => {
  const line = `@seq --tasks @a.jsonl,@b.jsonl --lora --lora-rank 2 ${ORDER} --save-every 0`;
  const one = await lab.run(`${line} -o @one`);
  const several = await lab.run(`${line} ${TAME} -o @several`);
  expect(several.json.experts).toBe(2);
  expect(several.json.metrics.loss.average).toBeLessThan(one.json.metrics.loss.average);
  expect(readdirSync(lab.at("several-experts/1"))).toContain("adapter_config.json");
}, 120_000);

test("an expert that is one too many is not made", async () => {
  const { json } = await lab.run(`${STREAM} ${TAME} --experts 1 --save-every 0 -o @alone`);
  expect([json.experts, json.switches]).toEqual([1, []]);
  await expect(lab.run(`${STREAM} ${TAME} --scenario task -o @known`)).rejects.toThrow("finds out itself");
  await expect(lab.run(`${STREAM} ${TAME} --accumulate 2 -o @parted`)).rejects.toThrow("--accumulate");
}, 120_000);

test("the selector parts what is apart, and a feature that never varies says nothing", () => {
  const features = Array.from({ length: 40 }, (_, i) => Float32Array.of(i % 2 === 0 ? 3 : 5, 7, (i % 5) - 2));
  const experts = features.map(([x]) => (x === 3 ? 1 : 0));
  const selector = ExpertSelector.fit(features, experts, 2);
  expect(features.map((row) => selector.of(row))).toEqual(experts);
  expect(selector.of(Float32Array.of(3, 1e6, 0))).toBe(1);
});
