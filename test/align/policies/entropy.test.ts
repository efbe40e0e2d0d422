/** The entropy that a loss raises, and the rate of a value head. */
import { expect, test } from "bun:test";
import type { SharedValues } from "../../../src/align/policies/contract.ts";
import { policyLoss } from "../../../src/align/policies/objective.ts";
import { tokenWeights } from "../../../src/align/policies/token-weights.ts";
import { ValueHead } from "../../../src/align/policies/value-head.ts";
import { bindDefaults } from "../../../src/method/bind.ts";
import { Trainer } from "../../../src/run/training/trainer.ts";
import { crossEntropy } from "../../../src/tensor/ops/cross-entropy.ts";
import { trainedEntropy } from "../../../src/tensor/ops/distribution.ts";
import { neg } from "../../../src/tensor/ops/elementwise.ts";
import { chunkedHeads } from "../../../src/tensor/ops/head-loss.ts";
import { linear } from "../../../src/tensor/ops/linear.ts";
import { dot } from "../../../src/tensor/ops/reduce.ts";
import { Program, profileOf } from "../../../src/tensor/program.ts";
import { Recorder } from "../../../src/tensor/recorder.ts";
import { method as adamw } from "../../../src/train/methods/optimizers/adamw.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { runOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";
import { bound, tinyModel } from "./world.ts";

const gpu = await sharedGpu();
const [ROWS, LENGTH, OUTPUTS] = [2, 3, 7];
const targets = Int32Array.of(1, 4, 0, 6, 2, 5);
const logits = normals(1, ROWS * LENGTH * OUTPUTS, 1);
const old = normals(2, ROWS * LENGTH, 0.3).map((x) => x - 2);
const advantages = [1.3, -0.7];

/** Probabilities of rows of logits, f64. */
const softmax = (z: Float64Array) => {
  const e = z.map((x) => Math.exp(x));
  const sum = e.reduce((a, b) => a + b, 0);
  return e.map((x) => x / sum);
};

/** The clipped surrogate less the weighed entropy, of tokens that weigh as rows say. */
function lossOf(z: Float64Array, weights: ArrayLike<number>, weight: number): number {
  let loss = 0;
  for (let t = 0; t < ROWS * LENGTH; t++) {
    const row = Math.floor(t / LENGTH);
    const p = softmax(z.subarray(t * OUTPUTS, (t + 1) * OUTPUTS));
    const ratio = Math.exp(Math.log(p[targets[t]!]!) - old[t]!);
    const kept = Math.min(1.2, Math.max(0.8, ratio));
    const entropy = -p.reduce((sum, x) => sum + x * Math.log(x), 0);
    loss -= weights[row]! * (Math.min(ratio * advantages[row]!, kept * advantages[row]!) + weight * entropy);
  }
  return loss;
}

test.each([
  ["grpo", "seq-mean"],
  ["dapo", "global-token"],
  ["ppo", "seq-sum-norm"],
] as const)("%s raises the entropy of tokens, each as --aggregate %s weighs it", async (name, aggregate) => {
  const chosen = await bound(name, { entropy_weight: 0.4, kl: 0, clip_high: 0.2, aggregate });
  const values: SharedValues = chosen.values;
  const [weights] = tokenWeights(aggregate, [advantages.map(() => ({ counted: LENGTH }))], values.max_new_tokens);
  const rec = new Recorder(profileOf(gpu));
  const given = rec.watched(rec.input("logits", [ROWS * LENGTH, OUTPUTS]));
  const nll = crossEntropy(rec, given, rec.input("targets", [ROWS * LENGTH], "i32"));
  const shape = [ROWS, LENGTH];
  const { backward, metrics } = policyLoss(rec, chosen, neg(rec, rec.reshape(nll, shape)), {
    fresh: false,
    rows: ROWS,
    entropies: rec.reshape(trainedEntropy(rec, given), shape),
  });
  rec.output("loss", metrics.loss!);
  rec.backward(backward);
  rec.output("gradient", rec.incoming(given)!);
  const program = await Program.compile(gpu, rec);
  const all = (of: (row: number) => number) => Float32Array.from(old, (_, t) => of(Math.floor(t / LENGTH)));
  const inputs = {
    ...{ logits, targets, old, lengths: new Float32Array(ROWS).fill(LENGTH) },
    ...{ weights: all((row) => weights![row]!), shares: all(() => 1 / 6), advantages: all((row) => advantages[row]!) },
  };
  for (const [key, data] of Object.entries(inputs)) if (program.takes(key)) program.write(key, data);
  program.run({ accumulate: 0, kl_weight: 0 });
  const [[loss], gradient] = [await program.read("loss"), await program.read("gradient")];
  program.free();
  const exact = Float64Array.from(logits);
  const of = (z: Float64Array) => lossOf(z, weights!, 0.4);
  expect(loss).toBeCloseTo(of(exact), 5);
  for (const [i, found] of gradient.entries()) {
    const moved = (by: number) => of(exact.map((x, j) => (j === i ? x + by : x)));
    expect(found).toBeCloseTo((moved(1e-5) - moved(-1e-5)) / 2e-5, 4);
  }
});

test("several losses of a head are those of one pass, however many rows it takes at once", async () => {
  const [n, c, v] = [150, 5, 300];
  const labels = Int32Array.from({ length: n }, (_, i) => (7 * i) % v);
  const found = await Promise.all(
    [undefined, 64 * 4 * v].map((budget) =>
      runOp(gpu, {
        inputs: {
          x: { shape: [n, c], data: normals(3, n * c, 1), grad: true },
          w: { shape: [v, c], data: normals(4, v * c, 1), grad: true },
          l: { shape: [n], data: labels, dtype: "i32" },
          a: { shape: [n], data: normals(5, n, 1) },
          b: { shape: [n], data: normals(6, n, 1) },
        },
        build(rec, { x, w, l, a, b }) {
          const [nll, entropy] = chunkedHeads(rec, {
            hidden: x!,
            head: (part) => linear(rec, part, w!),
            width: v,
            along: [l!],
            ...(budget ? { budget } : {}),
            losses: (logits, [labels]) => [crossEntropy(rec, logits, labels!), trainedEntropy(rec, logits)],
          });
          return { nll: nll!, entropy: entropy!, sum: dot(rec, nll!, a!), other: dot(rec, entropy!, b!) };
        },
        seeds: { nll: normals(5, n, 1), entropy: normals(6, n, 1) },
      }),
    ),
  );
  const [whole, parts] = found as [(typeof found)[0], (typeof found)[0]];
  for (const name of ["nll", "entropy"])
    for (const [i, x] of whole.outputs[name]!.entries()) expect(parts.outputs[name]![i]).toBeCloseTo(x, 5);
  for (const name of ["x", "w"])
    for (const [i, x] of whole.gradients[name]!.entries()) expect(parts.gradients[name]![i]).toBeCloseTo(x, 3);
});

test("a value head takes steps of its own length", async () => {
  const model = await tinyModel(gpu);
  const steps = await Promise.all(
    [1, 10].map(async (ratio) => {
      const head = new ValueHead(model);
      const trainer = await Trainer.make({
        ...{
          gpu,
          parameters: head.parameters(),
          optimizer: bindDefaults(adamw, { weight_decay: 0 }),
          clip: 0,
          seed: 0,
        },
        decays: () => false,
        updates: ratio === 1 ? [] : [head.scaled(ratio, 0)],
        objective: {
          name: "head",
          key: () => "",
          counted: () => 1,
          size: () => 1,
          describe: () => "",
          record(rec) {
            const hidden = rec.constant(normals(8, 4 * model.sizes.width, 1), [4, model.sizes.width], "hidden");
            const estimates = head.record(rec, hidden, [1, 4]);
            const ones = rec.constant(new Float32Array(4).fill(1), [1, 4], "ones");
            return { backward: [[estimates, ones]], metrics: { sum: dot(rec, estimates, ones) } };
          },
          fill() {},
        },
      });
      await (await trainer.step(1, 1e-3, [{}])).result;
      const moved = await Promise.all(head.parameters().map(({ buffer, size }) => gpu.readFloats(buffer, size)));
      trainer.free();
      head.free();
      return moved;
    }),
  );
  for (const [i, own] of steps[0]!.entries())
    for (const [j, x] of own.entries()) expect(steps[1]![i]![j]! / x).toBeCloseTo(10, 3);
  model.free();
});

test("ppo's head has ten times the model's rate, or that which is asked for", async () => {
  const rate = async (settings: Record<string, number>) => {
    const { method, values } = await bound("ppo", settings);
    return method.valueRate!(values as never, 1e-3);
  };
  expect(await rate({})).toBeCloseTo(1e-2, 12);
  expect(await rate({ value_lr: 3e-4 })).toBe(3e-4);
});
