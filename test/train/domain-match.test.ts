/** Features of two domains that are made alike: the gradient, what is trained, and what is refused. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Example } from "../../src/data/examples.ts";
import { Model } from "../../src/model/model.ts";
import { DomainMatch, domainJudge, rampOf } from "../../src/train/domains/match.ts";
import { dataOf } from "../support/checkpoint-values.ts";
import { runScript } from "../support/command.ts";
import { sharedGpu } from "../support/gpu.ts";
import { normals } from "../support/random.ts";
import { TINY_TEXT } from "../support/tiny-models.ts";

setDefaultTimeout(120_000);
const gpu = await sharedGpu();
const folder = mkdtempSync(join(tmpdir(), "ingot-match-"));
afterAll(() => rmSync(folder, { recursive: true }));

const NET = { model_type: "mlp", input_size: 5, hidden_sizes: [6, 4], num_labels: 2, hidden_act: "gelu" };
const rowsOf = (seed: number, count: number, shift: number): Example[] =>
  Array.from({ length: count }, (_, i) => ({
    ...{ x: normals(100 * seed + i, 5).map((value) => value + shift), shape: [5], label: i % 2 },
    ...{ group: 0, place: `rows:${i + 1}` },
  }));

const linesOf = (rows: readonly Example[], labelled = true) =>
  rows
    .map(
      (row) => `${JSON.stringify({ ...("x" in row && { x: [...row.x] }), ...(labelled && { label: row.label }) })}\n`,
    )
    .join("");

beforeAll(() => {
  writeFileSync(join(folder, "net.json"), JSON.stringify(NET));
  writeFileSync(join(folder, "own.jsonl"), linesOf(rowsOf(1, 24, 0)));
  writeFileSync(join(folder, "other.jsonl"), linesOf(rowsOf(2, 16, 1.5), false));
});

test("the weight grows from 0 towards 1", () => {
  expect(rampOf(0)).toBe(0);
  expect(rampOf(0.5)).toBeCloseTo(2 / (1 + Math.exp(-2.5)) - 1, 12);
  expect(rampOf(1)).toBeGreaterThan(0.98);
});

test("mmd: the gradient of the weights is the slope of the discrepancy of the step's rows", async () => {
  const model = await Model.fresh(gpu, NET, "net", { seed: 4 });
  const rows = 6;
  // As many rows as a step draws: every step has the same ones.
  const setup = { by: "mmd", weight: 2, steps: 10, rows, seed: 1, judge: undefined, info() {} } as const;
  const rule = new DomainMatch(model, rowsOf(1, rows, 0), rowsOf(2, rows, 1), setup);
  for (const { gradient, size } of model.trainable()) gpu.clear(gradient, 4 * size);
  await rule.before(6);
  const own = model.trainable().find(({ name }) => name.startsWith("layers.0") && name.endsWith("weight"))!;
  const found = await gpu.readFloats(own.gradient, own.size);
  const values = (await gpu.readFloats(own.buffer, own.size)).slice();
  const direction = normals(9, own.size);
  const slope = found.reduce((sum, g, i) => sum + g * direction[i]!, 0);
  const at = async (by: number) => {
    own.write(values.map((value, i) => value + by * direction[i]!));
    return rule.discrepancy();
  };
  // The bandwidth moves with the weights, and no gradient goes there, so that differences hold roughly.
  const measured = (2 * rampOf(0.5) * ((await at(2e-3)) - (await at(-2e-3)))) / 4e-3;
  expect(Math.sign(slope)).toBe(Math.sign(measured));
  expect(Math.abs(slope - measured)).toBeLessThan(0.25 * Math.abs(measured));
  rule.free();
  model.free();
});

test("dann: what goes back to the model is the gradient of the domains' loss turned round, times the weight", async () => {
  const model = await Model.fresh(gpu, NET, "net", { seed: 4 });
  const judge = domainJudge(gpu, 4, 3);
  const gradients = async (weight: number, step: number) => {
    const setup = { by: "dann", weight, steps: 10, rows: 6, seed: 1, judge, info() {} } as const;
    const rule = new DomainMatch(model, rowsOf(1, 6, 0), rowsOf(2, 6, 1), setup);
    const all = [...model.trainable(), ...judge.values()];
    for (const { gradient, size } of all) gpu.clear(gradient, 4 * size);
    await rule.before(step);
    const of = async (name: string) => {
      const one = all.find((parameter) => parameter.name === name)!;
      return [...(await gpu.readFloats(one.gradient, one.size))];
    };
    const found = [await of("match.in.weight"), await of("layers.0.weight")] as const;
    rule.free();
    return found;
  };
  const [judged, model1] = await gradients(1, 6);
  const [judgedToo, model2] = await gradients(2, 6);
  expect(judgedToo).toEqual(judged);
  expect(judged.some((value) => value !== 0)).toBe(true);
  for (const [i, value] of model2.entries()) expect(value).toBeCloseTo(2 * model1[i]!, 6);
  expect((await gradients(1, 1))[1].every((value) => value === 0)).toBe(true);
  model.free();
});

const train = (argv: string) => runScript("train", argv.split(" "), folder);
const MATCHED = "--init net.json --data own.jsonl --match-domain other.jsonl --batch-size 8 --lr 1e-2";

test("without weight it is plain training; with one the domains come together", async () => {
  for (const argv of [
    "--init net.json --data own.jsonl --batch-size 8 --lr 1e-2 --steps 6 -o plain/ -q",
    `${MATCHED} --match-by mmd --match-weight 0 --steps 6 -o without/ -q`,
    `${MATCHED} --steps 6 -o whole/ -q`,
  ])
    expect([argv, (await train(argv)).code]).toEqual([argv, 0]);
  const bytes = (name: string) => Buffer.from(dataOf(readFileSync(join(folder, name, "model.safetensors"))));
  expect(bytes("without").equals(bytes("plain"))).toBe(true);
  expect(bytes("whole").equals(bytes("plain"))).toBe(false);
  const long = await train(`${MATCHED} --match-by mmd --match-weight 20 --steps 60 -o near/`);
  const [, first, last] = /discrepancy ([\d.]+) at first, ([\d.]+) at the end/.exec(long.err)!;
  expect(Number(last)).toBeLessThan(0.6 * Number(first));
});

test("models and rows that it is not for are refused before work", async () => {
  const refused = async (argv: string) => (await train(argv)).err;
  writeFileSync(join(folder, "empty.jsonl"), "");
  writeFileSync(join(folder, "wide.jsonl"), `${JSON.stringify({ x: [1, 2] })}\n`);
  expect(await refused(`${MATCHED.replace("other", "wide")} --steps 1 -o a/`)).toContain(
    "wide.jsonl:1: the example is (2)",
  );
  expect(await refused(`${MATCHED.replace("other", "empty")} --steps 1 -o a/`)).toContain("empty.jsonl");
  writeFileSync(join(folder, "text.jsonl"), `${JSON.stringify({ text: "abc" })}\n`);
  writeFileSync(join(folder, "text.json"), JSON.stringify({ ...TINY_TEXT.llama, vocab_size: 264 }));
  const spoken = "--init text.json --tokenizer byte --data text.jsonl --match-domain text.jsonl --steps 1 -o a/";
  expect(await refused(spoken)).toContain("a classifier's or regressor's head");
  expect(await refused("--init net.json --data own.jsonl --match-by mmd --steps 1 -o a/")).toContain("--match-domain");
});
