import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Random } from "../../src/data/random.ts";
import { type BoostingRows, boosted, boostingLoss, type Fused, outputsOf } from "../../src/train/layers/boosting.ts";
import { runScript } from "../support/command.ts";

const folder = mkdtempSync(join(tmpdir(), "ingot-boost-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const CLASSES = 3;

/** Rings about 0 in two dimensions, or a wave of them. */
function made(count: number, seed: number, isClasses: boolean): BoostingRows {
  const random = new Random("rings", seed);
  const x = Float64Array.from({ length: 2 * count }, () => random.normal());
  const outputs = isClasses ? CLASSES : 1;
  const y = new Float64Array(count * outputs);
  for (let row = 0; row < count; row++) {
    const [a, b] = [x[2 * row]!, x[2 * row + 1]!];
    if (isClasses) y[row * outputs + Math.min(CLASSES - 1, Math.floor(1.3 * Math.hypot(a, b)))] = 1;
    else y[row] = Math.sin(2 * a) + 0.5 * b + 3;
  }
  return { x, y, count, inputs: 2, outputs, isClasses };
}

const accuracy = ({ y, outputs, count }: BoostingRows, logits: Float64Array): number => {
  let right = 0;
  for (let at = 0; at < y.length; at += outputs) {
    const row = logits.subarray(at, at + outputs);
    right += y[at + row.indexOf(Math.max(...row))]!;
  }
  return right / count;
};

const OPTIONS = { units: 24, block: 3, rate: 0.5, share: 0.5, iterations: 60, fitRate: 0.1, seed: 1 };

test.each([true, false])("one network gives what all blocks gave (classes: %p)", async (isClasses) => {
  const rows = made(200, 1, isClasses);
  const { net, sums } = await boosted(rows, { ...OPTIONS, units: 11 });
  expect(net.units).toBe(11);
  for (const [i, value] of outputsOf(net, rows).entries()) expect(Math.abs(value - sums[i]!)).toBeLessThan(1e-9);
  const again = await boosted(rows, { ...OPTIONS, units: 11 });
  expect(again.net).toEqual(net);
});

test("on all rows, squares never grow, and begin at those about the mean", async () => {
  const rows = made(200, 2, false);
  const losses: number[] = [];
  await boosted(rows, { ...OPTIONS, share: 1 }, ({ loss }) => {
    losses.push(loss);
  });
  const mean = rows.y.reduce((a, b) => a + b) / rows.count;
  const first = boostingLoss(
    rows,
    rows.y.map(() => mean),
  );
  for (const [i, loss] of losses.entries()) expect(loss).toBeLessThanOrEqual(i === 0 ? first : losses[i - 1]!);
  expect(losses.at(-1)).toBeLessThan(0.2 * first);
});

/** The network with its first units, the others at what they give on average. */
function firstUnits(net: Fused, rows: BoostingRows, units: number): Fused {
  const [all, few] = [outputsOf(net, rows), outputsOf(net, rows, units)];
  const c = net.c.map((value, k) => {
    let sum = 0;
    for (let at = k; at < all.length; at += rows.outputs) sum += all[at]! - few[at]!;
    return value + sum / rows.count;
  });
  return { ...net, c };
}

test("its last units may go, those of a network that was fitted at once may not", async () => {
  const [rows, held] = [made(300, 3, true), made(300, 4, true)];
  const blocks = await boosted(rows, { ...OPTIONS, iterations: 80 });
  const whole = await boosted(rows, { ...OPTIONS, block: 24, rate: 1, share: 1, iterations: 300 });
  const half = ({ net }: { readonly net: Fused }) => accuracy(held, outputsOf(firstUnits(net, rows, 12), held, 12));
  const [all, allAtOnce] = [blocks, whole].map(({ net }) => accuracy(held, outputsOf(net, held)));
  expect(all).toBeGreaterThan(0.85);
  expect(all! - half(blocks)).toBeLessThan(0.08);
  expect(allAtOnce).toBeGreaterThan(0.8);
  expect(allAtOnce! - half(whole)).toBeGreaterThan(0.15);
  // They are those of a smaller network.
  const small = await boosted(rows, { ...OPTIONS, units: 12, iterations: 80 });
  expect(small.net.w).toEqual(blocks.net.w.slice(0, 24));
  expect(accuracy(held, outputsOf(small.net, held))).toBeCloseTo(half(blocks), 1);
});

test("the script writes an ordinary model", async () => {
  const rows = made(150, 5, true);
  const net = { model_type: "mlp", input_size: 2, hidden_sizes: [8], num_labels: CLASSES, hidden_act: "sigmoid" };
  writeFileSync(join(folder, "net.json"), JSON.stringify(net));
  writeFileSync(join(folder, "other.json"), JSON.stringify({ ...net, hidden_act: "relu" }));
  const lines = Array.from({ length: rows.count }, (_, row) => {
    const y = rows.y.subarray(row * CLASSES, (row + 1) * CLASSES);
    return JSON.stringify({ x: [...rows.x.subarray(2 * row, 2 * row + 2)].map(Math.fround), label: y.indexOf(1) });
  });
  writeFileSync(join(folder, "rows.jsonl"), lines.join("\n"));
  const run = (name: string, line: string) => runScript(name, line.split(" "), folder);
  const built = await run("train", "boost --init net.json --data rows.jsonl --block 4 --iterations 40 --json -o out/");
  expect(built.err).toContain("8 units, loss");
  const { loss } = JSON.parse(built.text) as { loss: number };
  const measured = await run("evaluate", "out/ --data rows.jsonl --metric loss --json");
  const [{ value }] = (JSON.parse(measured.text) as { rows: [{ value: number }] }).rows;
  expect(Math.abs(value - loss)).toBeLessThan(1e-5);
  expect(JSON.parse(readFileSync(join(folder, "out/config.json"), "utf8")).hidden_act).toBe("sigmoid");
  const refused = await run("train", "boost --init other.json --data rows.jsonl -o no/");
  expect(refused.err).toContain("one hidden layer of sigmoids");
  expect(refused.code).toBe(2);
});
