/** UNSIR: noise climbs the loss, stands for the rows to forget, and the repair brings the rest back. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stackExamples } from "../../src/data/batch.ts";
import { bindDefaults } from "../../src/method/bind.ts";
import { Model } from "../../src/model/model.ts";
import { errorNoise } from "../../src/unlearn/error-noise.ts";
import { method as unsir } from "../../src/unlearn/methods/objectives/unsir.ts";
import { runScript } from "../support/command.ts";
import { sharedGpu } from "../support/gpu.ts";
import { normals } from "../support/random.ts";

const gpu = await sharedGpu();
const NET = { model_type: "mlp", input_size: 3, hidden_sizes: [6], num_labels: 3 };

test("noise climbs the loss on its label, by steps of one length, and hangs on a row's place alone", async () => {
  const model = await Model.fresh(gpu, NET, "net", { seed: 4 });
  const read = async (name: string) => {
    const { buffer, size } = model.parameters.get(name)!;
    return gpu.readFloats(buffer, size);
  };
  const [w, b, v, c] = await Promise.all(
    ["layers.0.weight", "layers.0.bias", "classifier.weight", "classifier.bias"].map(read),
  );
  const lossOf = (x: ArrayLike<number>, label: number) => {
    const h = Array.from(b!, (bias, u) =>
      Math.max(
        0,
        [0, 1, 2].reduce((sum, i) => sum + w![3 * u + i]! * x[i]!, bias),
      ),
    );
    const z = Array.from(c!, (bias, k) => h.reduce((sum, own, u) => sum + v![6 * k + u]! * own, bias));
    return Math.log(z.reduce((sum, own) => sum + Math.exp(own - z[label]!), 0));
  };
  const rows = Array.from({ length: 5 }, (_, i) => ({
    ...{ x: normals(i, 3), shape: [3], label: i % 3, group: 0, place: `rows:${i}` },
  }));
  const made = (part: typeof rows, steps: number) =>
    errorNoise(model, [stackExamples(part)], { steps, rate: 0.1, seed: 2 });
  const [one, many, some] = [await made(rows, 1), await made(rows, 25), await made(rows.slice(3), 25)];
  const mean = (noise: typeof one) =>
    rows.reduce((sum, { place, label }) => sum + lossOf(noise.get(place)!, label), 0) / rows.length;
  expect(mean(many)).toBeGreaterThan(mean(one) + 0.5);
  for (const { place } of rows)
    for (const [i, x] of many.get(place)!.entries()) expect(Math.abs(x - one.get(place)![i]!)).toBeLessThan(2.4 + 1e-4);
  expect(some.get("rows:4")!).toEqual(many.get("rows:4")!);
  expect(some.has("rows:0")).toBe(false);
  model.free();
});

test("noise is learnt for as many passes as are asked for, and then the rows to keep alone", () => {
  const { values } = bindDefaults(unsir, { impair_epochs: 2 });
  const given = { values, weights: { forget: 1, retain: 1 }, steps: 9, perEpoch: 3, passes: { forget: 1, retain: 3 } };
  const adaptive = unsir.adaptive!(given);
  expect(Array.from({ length: 9 }, (_, i) => adaptive.values(i + 1).forget_weight!)).toEqual([
    1, 1, 1, 1, 1, 1, 0, 0, 0,
  ]);
  expect(adaptive.values(9).retain_weight!).toBe(1);
});

const folder = mkdtempSync(join(tmpdir(), "ingot-unsir-"));
afterAll(() => rmSync(folder, { recursive: true }));
const run = (script: string, line: string) => runScript(script, line.split(" "), folder);
async function good(script: string, line: string) {
  const done = await run(script, line);
  expect([done.code, done.err]).toEqual([0, expect.anything()]);
  return done;
}

beforeAll(async () => {
  const rows = Array.from({ length: 90 }, (_, i) => {
    const noise = normals(i, 3, 0.4);
    return { x: [0, 1, 2].map((axis) => (axis === i % 3 ? 2 : 0) + noise[axis]!), label: i % 3 };
  });
  const lines = (part: typeof rows) => part.map((row) => `${JSON.stringify(row)}\n`).join("");
  writeFileSync(join(folder, "forget.jsonl"), lines(rows.filter(({ label }) => label === 0)));
  writeFileSync(join(folder, "keep.jsonl"), lines(rows.filter(({ label }) => label !== 0)));
  writeFileSync(join(folder, "mlp.json"), JSON.stringify({ ...NET, hidden_sizes: [16] }));
  await good(
    "train",
    "--init mlp.json --data forget.jsonl --data keep.jsonl --epochs 12 --batch-size 30 --lr 2e-2 --save-every 0 -o base/",
  );
});

test("a class is forgotten though its rows are not shown, and the others stay", async () => {
  await good(
    "unlearn",
    "base/ --method unsir --anchor retain --forget forget.jsonl --retain keep.jsonl --batch-size 10 --lr 5e-2 --epochs 4 --impair-epochs 2 --save-every 0 -o impaired/",
  );
  const { text } = await good(
    "evaluate",
    "base/ impaired/ --data forget=forget.jsonl --data keep=keep.jsonl --metric accuracy --json",
  );
  const { rows } = JSON.parse(text) as { rows: { model: string; group: string; value: number }[] };
  const value = (model: string, group: string) => rows.find((row) => row.model === model && row.group === group)!.value;
  expect(value("base/", "forget")).toBeGreaterThan(0.9);
  expect(value("impaired/", "forget")).toBeLessThan(0.5);
  expect(value("impaired/", "keep")).toBeGreaterThan(0.9);
});
