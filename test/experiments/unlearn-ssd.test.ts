/**
 * Selective synaptic dampening makes a classifier forget one of ten classes.
 *
 * Gaussian blobs in 20 dimensions, MLP 20-128-128-10, batches of 64. Measured over seeds 0-2, accuracy on rows never
 * seen, before and after with alpha 5: the class 95, 98, 99 % to 1, 0, 4 %; the nine others 98.2, 97.8, 98.2 % to 97.9,
 * 98.2, 98.6 %. With --fisher sample the class keeps 20, 20, 45 % at alpha 5 and 2, 1, 6 % at alpha 2. Gradient ascent
 * for 16 steps at a rate of 0.001, stopped where the class was gone, keeps as much of the others (98.3 %, seed 0): here
 * SSD saves the tuning, not accuracy.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runScript } from "../support/command.ts";

setDefaultTimeout(120_000);
const folder = mkdtempSync(join(tmpdir(), "ingot-unlearn-ssd-"));
const at = (name: string) => join(folder, name);
const ROWS = "--forget train-forget.jsonl --retain train-retain.jsonl --batch-size 64 --json";

async function run(script: string, line: string) {
  const { text, err, code } = await runScript(script, line.split(" "), folder);
  if (code !== 0) throw new Error(`${script} ${line}: ${err}`);
  return { text, err };
}

/** Accuracy on the rows to forget and on the others, of rows that no one learnt. */
async function accuracy(model: string): Promise<{ forget: number; retain: number }> {
  const line = `${model} --data forget=test-forget.jsonl --data retain=test-retain.jsonl --metric accuracy --bootstrap 0 --json`;
  const { rows } = JSON.parse((await run("evaluate", line)).text);
  const of = (name: string) => rows.find(({ group }: { group: string }) => group === name).value;
  return { forget: of("forget"), retain: of("retain") };
}

beforeAll(async () => {
  for (const [split, size] of [
    ["train", 2000],
    ["test", 1000],
  ]) {
    await run(
      "data",
      `blobs --classes 10 --dims 20 --separation 6 --split ${split} --size ${size} -q -o ${split}.jsonl`,
    );
    const rows = readFileSync(at(`${split}.jsonl`), "utf8")
      .trim()
      .split("\n");
    const write = (name: string, has: (label: number) => boolean) =>
      writeFileSync(at(`${split}-${name}.jsonl`), `${rows.filter((row) => has(JSON.parse(row).label)).join("\n")}\n`);
    write("forget", (label) => label === 3);
    write("retain", (label) => label !== 3);
  }
  writeFileSync(
    at("mlp.json"),
    JSON.stringify({ model_type: "mlp", input_size: 20, hidden_sizes: [128, 128], num_labels: 10 }),
  );
  await run("train", "--init mlp.json --data train.jsonl --batch-size 64 --epochs 5 --lr 0.003 -q -o base/");
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("a class is forgotten in one pass over either set, and the others stay", async () => {
  const plan = JSON.parse((await run("unlearn", `base --method ssd --fisher batch ${ROWS} -n`)).text);
  expect(plan).toEqual({ forget: Math.ceil(200 / 64), retain: Math.ceil(1800 / 64), rows: 64 });
  const { text } = await run("unlearn", `base --method ssd --fisher batch --alpha 5 ${ROWS} -q -o forgot/`);
  const { share } = JSON.parse(text);
  expect(share).toBeGreaterThan(0.03);
  expect(share).toBeLessThan(0.15);
  const [before, after] = [await accuracy("base"), await accuracy("forgot")];
  expect(before.forget).toBeGreaterThan(0.9);
  expect(after.forget).toBeLessThan(0.1); // chance
  expect(after.retain).toBeGreaterThan(before.retain - 0.02);
});

test("an alpha of all rows over those to forget selects nothing, and says so", async () => {
  const { text, err } = await run("unlearn", `base --method ssd --fisher sample --alpha 10 ${ROWS} -q -o same/`);
  expect(JSON.parse(text).selected).toBe(0);
  expect(err).toContain("alpha 10 selects no weight: the model is as it was; give a smaller --alpha");
  expect(await accuracy("same")).toEqual(await accuracy("base"));
});
