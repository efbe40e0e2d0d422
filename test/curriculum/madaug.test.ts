/** A policy of augmentations: what it draws, what it learns from rewards, and what rewards are of a model. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { AugmentationLearner } from "../../src/curriculum/learned-augmenting/learner.ts";
import { AugmentPolicy, standardised } from "../../src/curriculum/learned-augmenting/policy.ts";
import { method } from "../../src/curriculum/methods/orderings/madaug.ts";
import { IMAGE_OPERATIONS } from "../../src/data/augmenting/image-operations.ts";
import { stackExamples } from "../../src/data/batch.ts";
import type { Example } from "../../src/data/examples.ts";
import { Random } from "../../src/data/random.ts";
import { bindDefaults } from "../../src/method/bind.ts";
import { Model } from "../../src/model/model.ts";
import { sharedGpu } from "../support/gpu.ts";

setDefaultTimeout(120_000);
const POLICY = { features: 3, operations: 4, hidden: 8, lr: 0.02, seed: 1 };
const random = new Random("features");
const features = standardised(Array.from({ length: 16 }, () => [0, 1, 2].map(() => random.normal())));

test("features have mean 0 and deviation 1; what does not vary is 0", () => {
  expect([...standardised([[1, 3]])]).toEqual([-1, 1]);
  expect([...standardised([[2, 2]])]).toEqual([0, 0]);
});

test("without features any operation is drawn alike, and amounts lie around a half", () => {
  const policy = new AugmentPolicy(POLICY);
  const none = policy.outputs(undefined, 0);
  expect(policy.chances(none)).toEqual([0.25, 0.25, 0.25, 0.25]);
  const drawn = Array.from({ length: 400 }, (_, i) => policy.draw(none, 2, new Random("draw", i)));
  expect(drawn[0]).toEqual(policy.draw(none, 2, new Random("draw", 0)));
  const amounts = drawn.flatMap((one) => one.amounts);
  expect(Math.abs(amounts.reduce((a, b) => a + b, 0) / amounts.length - 0.5)).toBeLessThan(0.02);
  for (const at of [0, 1, 2, 3]) {
    const share = drawn.flatMap(({ operations }) => operations).filter((one) => one === at).length / 800;
    expect(Math.abs(share - 0.25)).toBeLessThan(0.05);
  }
});

/** Lessons in which an operation is bad, and small amounts are good. */
function taught(policy: AugmentPolicy, lessons: number): AugmentPolicy {
  for (let lesson = 0; lesson < lessons; lesson++) {
    const pass = policy.pass(features);
    const drawn = Array.from({ length: 16 }, (_, row) =>
      policy.draw(policy.outputs(pass, row), 2, new Random("lesson", lesson, row)),
    );
    const rewards = drawn.map(({ operations, amounts }) =>
      operations.reduce((sum, at, k) => sum - (at === 2 ? 1 : 0) - amounts[k]!, 0),
    );
    policy.learn(pass, drawn, rewards);
  }
  return policy;
}

test("rewards teach it operations and amounts, and it goes on from its state bit for bit", () => {
  const policy = taught(new AugmentPolicy(POLICY), 150);
  const pass = policy.pass(features);
  for (const row of [0, 7, 15]) expect(policy.chances(policy.outputs(pass, row))[2]!).toBeLessThan(0.05);
  const amounts = Array.from({ length: 50 }, (_, i) => policy.draw(policy.outputs(pass, 0), 1, new Random("a", i)));
  expect(amounts.reduce((sum, one) => sum + one.amounts[0]!, 0) / 50).toBeLessThan(0.4);
  const other = new AugmentPolicy(POLICY);
  other.load(policy.state());
  expect(taught(other, 3).state()).toEqual(taught(policy, 3).state());
});

const gpu = await sharedGpu();
const VIT = {
  ...{ model_type: "vit", image_size: 8, patch_size: 4, num_channels: 1, num_labels: 2, initializer_range: 0.2 },
  ...{ hidden_size: 8, intermediate_size: 8, num_hidden_layers: 1, num_attention_heads: 2 },
};
const rows: Example[] = Array.from({ length: 8 }, (_, i) => ({
  ...{ x: Float32Array.from({ length: 64 }, () => random.normal()), shape: [1, 8, 8] },
  ...{ label: i % 2, group: 0, place: `row ${i}` },
}));

test("rows are augmented more often with time; lessons leave the weights as they were, and the state resumes", async () => {
  const model = await Model.fresh(gpu, VIT, "tiny", { seed: 1 });
  const events: Record<string, unknown>[] = [];
  const learner = (values: Record<string, unknown>) =>
    new AugmentationLearner({
      ...{ model, examples: rows, held: [stackExamples(rows)], batchSize: 8, steps: 20, batches: 20, seed: 1 },
      settings: method.augments!(bindDefaults(method, { policy_every: 2, policy_lr: 0.1, ...values }).values),
      context: { log: { run: "", start() {}, event: (name, fields) => events.push({ name, ...fields }) } },
    });
  const [own, never] = [learner({}), learner({ tau: 1e6 })];
  const changed = async (of: AugmentationLearner, batch: number) =>
    (await of.change(rows, batch)).filter((row, i) => row !== rows[i]).length;
  expect([await changed(own, 0), await changed(never, 20)]).toEqual([0, 0]);
  expect(await changed(own, 20)).toBeGreaterThan(5);
  expect([own.due(2), own.due(3), own.due(20)]).toEqual([true, false, false]);
  const weights = async () => {
    const all: number[] = [];
    for (const { buffer, size } of model.trainable()) all.push(...(await gpu.readFloats(buffer, size)));
    return all;
  };
  const before = await weights();
  const fresh = own.state();
  await own.after(2);
  expect(await weights()).toEqual(before);
  expect(own.state()).not.toEqual(fresh);
  const { chances, operations } = events[0] as { chances: number[]; operations: string[] };
  expect(operations).toEqual([...IMAGE_OPERATIONS]);
  expect(chances.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 9);
  const again = learner({});
  again.load(JSON.parse(JSON.stringify(own.state())));
  expect(await again.change(rows, 15)).toEqual(await own.change(rows, 15));
  for (const one of [own, never, again]) await one.free();
  model.free();
});

test("uniform draws learn nothing, and a model without images is refused", async () => {
  const model = await Model.fresh(gpu, { model_type: "mlp", input_size: 4, num_labels: 2 }, "mlp", { seed: 1 });
  const settings = method.augments!(bindDefaults(method, { policy: "uniform", tau: 0 }).values);
  const given = {
    held: [],
    batchSize: 2,
    steps: 4,
    batches: 4,
    seed: 1,
    context: { log: { run: "", start() {}, event() {} } },
  };
  expect(() => new AugmentationLearner({ settings, model, examples: rows, ...given })).toThrow("the model takes none");
  model.free();
});
