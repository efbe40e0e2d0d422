/** LoRA+: one step of A is that of LoRA, one step of B so many times as long, its decay too. */
import { expect, test } from "bun:test";
import type { Example } from "../../../../src/data/examples.ts";
import { bindDefaults } from "../../../../src/method/bind.ts";
import { loraChoice } from "../../../../src/model/adapters/lora/type.ts";
import { Model } from "../../../../src/model/model.ts";
import { stackedBatches } from "../../../../src/run/training/batch-source.ts";
import { crossEntropyObjective } from "../../../../src/run/training/cross-entropy.ts";
import { loraPlus } from "../../../../src/run/training/rules/lora-plus.ts";
import { trainModel } from "../../../../src/run/training/train-model.ts";
import { method as adamw } from "../../../../src/train/methods/optimizers/adamw.ts";
import { sharedGpu } from "../../../support/gpu.ts";
import { normals } from "../../../support/random.ts";

const gpu = await sharedGpu();
const NET = { model_type: "mlp", input_size: 4, hidden_sizes: [6, 5], num_labels: 3 };

const rows = Array.from({ length: 8 }, (_, i): Example => {
  const x = normals(i, 4);
  return { form: "example", x, shape: [4], label: i % 3, extra: {}, group: 0, place: `${i}` } as Example;
});

/** What a step adds to every trained parameter, by name. */
async function stepOf(ratio: number | undefined): Promise<Map<string, Float32Array>> {
  const adapter = loraChoice({ rank: 2, alpha: 4, seed: 1 });
  const model = await Model.fresh(gpu, NET, "net", { seed: 1, adapter });
  const start = model.trainable().map(({ size }, i) => normals(20 + i, size, 0.3));
  for (const [i, parameter] of model.trainable().entries()) parameter.write(start[i]!);
  await trainModel({
    model,
    source: stackedBatches(rows, ["rows"], { batchSize: 8, seed: 0 }),
    objective: crossEntropyObjective(model),
    optimizer: bindDefaults(adamw, { weight_decay: 0.5 }),
    rate: () => 0.01,
    steps: 1,
    seed: 0,
    decays: () => true,
    updates: ratio === undefined ? [] : [loraPlus(model, ratio, 0)],
    signal: new AbortController().signal,
  });
  const found = new Map<string, Float32Array>();
  for (const [i, { name, buffer, size }] of model.trainable().entries())
    found.set(
      name,
      (await gpu.readFloats(buffer, size)).map((x, at) => x - start[i]![at]!),
    );
  model.free();
  return found;
}

test("B moves RATIO times as far, and A as before", async () => {
  const [plain, plus, same] = [await stepOf(undefined), await stepOf(8), await stepOf(1)];
  expect([...plain.keys()].filter((name) => name.endsWith("lora_B.weight"))).not.toBeEmpty();
  for (const [name, step] of plain) {
    expect(same.get(name)).toEqual(step);
    const times = name.endsWith("lora_B.weight") ? 8 : 1;
    for (const [i, x] of plus.get(name)!.entries()) expect(Math.abs(x - times * step[i]!)).toBeLessThan(1e-6);
    expect(Math.max(...step.map(Math.abs))).toBeGreaterThan(5e-3);
  }
});

test("refuses a model without LoRA", async () => {
  const model = await Model.fresh(gpu, NET, "net", { seed: 1 });
  expect(() => loraPlus(model, 16, 0)).toThrow("has no B of a linear layer");
  model.free();
});
