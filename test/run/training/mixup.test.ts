/** Partial mixup, decoupled mixup and mixup in distillation: formulas in float64, and where they are something else. */
import { describe, expect, test } from "bun:test";
import { stackExamples } from "../../../src/data/batch.ts";
import type { DistillMethod } from "../../../src/distill/contract.ts";
import { method as kd } from "../../../src/distill/methods/kd.ts";
import { method as mixkd, standardised } from "../../../src/distill/methods/mixkd.ts";
import { bindDefaults } from "../../../src/method/bind.ts";
import { Model } from "../../../src/model/model.ts";
import { liveTeacher } from "../../../src/run/teachers/teacher.ts";
import type { ChosenLoss } from "../../../src/run/training/label-loss.ts";
import { mixedLosses, mixture } from "../../../src/run/training/mixup.ts";
import { method as decoupled } from "../../../src/train/methods/losses/decoupled-mixup.ts";
import { lossOf } from "../../distill/objective.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { checkOp, runOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";

const gpu = await sharedGpu();

test("so many rows stay whole, others for other rows, and the mixed ones are those of full mixup", () => {
  const full = mixture(["a"], 10, { beta: 1, seed: 3 });
  const partial = mixture(["a"], 10, { beta: 1, keep: 0.7, seed: 3 });
  expect(full.shares.filter((share) => share === 1).length).toBe(0);
  expect(partial.shares.filter((share) => share === 1).length).toBe(7);
  expect(partial.partners).toEqual(full.partners);
  for (const [i, share] of partial.shares.entries()) if (share !== 1) expect(share).toBe(full.shares[i]!);
  expect(mixture(["b"], 10, { beta: 1, keep: 0.7, seed: 3 }).shares).not.toEqual(partial.shares);
  expect(mixture(["a"], 10, { beta: 1, keep: 1, seed: 3 }).shares.every((share) => share === 1)).toBe(true);
});

const lse = (z: readonly number[]) => Math.log(z.reduce((sum, x) => sum + Math.exp(x), 0));

describe("decoupled mixup", () => {
  const [N, V] = [6, 5];
  const targets = Int32Array.of(0, 1, 2, 3, 4, 2);
  const others = Int32Array.of(3, 0, 2, 1, 2, 2);
  const shares = Float32Array.of(0.3, 0.5, 0.9, 0.1, 1, 0.4);
  const apart = Float32Array.from(targets, (a, i) => (a === others[i] ? 0 : 1));
  const chosen = (eta: number): ChosenLoss => ({
    loss: bindDefaults(decoupled as never, { mixup_eta: eta }),
    counts: [],
    softened: {},
  });
  const inputs = (logits: Float32Array, v: number, labels = targets, second = others) => ({
    logits: { shape: [labels.length, v], data: logits, grad: true },
    targets: { shape: [labels.length], data: labels, dtype: "i32" as const },
    others: { shape: [labels.length], data: second, dtype: "i32" as const },
    shares: { shape: [labels.length], data: shares.slice(0, labels.length), grad: false },
    rests: { shape: [labels.length], data: shares.slice(0, labels.length).map((x) => 1 - x), grad: false },
    apart: {
      shape: [labels.length],
      data: Float32Array.from(labels, (a, i) => (a === second[i] ? 0 : 1)),
      grad: false,
    },
  });
  type Given = Parameters<Parameters<typeof runOp>[1]["build"]>;
  const build = (loss: ChosenLoss | undefined) => (rec: Given[0], x: Given[1]) =>
    mixedLosses(
      rec,
      x.logits!,
      x.targets!,
      { others: x.others!, shares: x.shares!, rests: x.rests!, apart: x.apart! },
      loss,
    );
  /** The loss of a row in float64. */
  const exact = (z: readonly number[], i: number, eta: number) => {
    const [a, b, share] = [targets[i]!, others[i]!, shares[i]!];
    const without = (label: number, other: number) => lse(z.filter((_, k) => k !== other)) - z[label]!;
    const plain = share * (lse(z) - z[a]!) + (1 - share) * (lse(z) - z[b]!);
    return a === b ? plain : plain + eta * (share * without(a, b) + (1 - share) * without(b, a));
  };

  test.each([0, 0.1, 2])("eta %p: its formula and its gradient", async (eta) => {
    const errors = await checkOp(gpu, `decoupled mixup ${eta}`, {
      inputs: inputs(normals(1, N * V, 2), V),
      build: build(chosen(eta)),
      reference: ({ logits }) =>
        Float64Array.from({ length: N }, (_, i) => exact([...logits!.subarray(i * V, i * V + V)], i, eta)),
    });
    expect(errors.forward).toBeLessThan(2e-6);
    expect(errors.backward).toBeLessThan(1e-4);
  });

  test("without its term it is mixup, and of two classes the term is nothing", async () => {
    const of = async (loss: ChosenLoss | undefined, v: number, labels = targets, second = others) => {
      const logits = normals(2, labels.length * v, 3);
      const seeds = { y: new Float32Array(labels.length).fill(1) };
      return runOp(gpu, { inputs: inputs(logits, v, labels, second), build: build(loss), seeds });
    };
    expect((await of(chosen(0), V)).outputs.y).toEqual((await of(undefined, V)).outputs.y!);
    const [a, b] = [Int32Array.of(0, 1, 0), Int32Array.of(1, 0, 0)];
    const [plain, two] = [await of(undefined, 2, a, b), await of(chosen(5), 2, a, b)];
    for (const [i, x] of two.outputs.y!.entries()) expect(x).toBeCloseTo(plain.outputs.y![i]!, 5);
    for (const [i, x] of two.gradients.logits!.entries()) expect(x).toBeCloseTo(plain.gradients.logits![i]!, 5);
  });

  test("the first of its two parts says nothing of the other label", async () => {
    const logits = normals(4, N * V, 2);
    const whole = { ...inputs(logits, V), shares: { shape: [N], data: new Float32Array(N).fill(1), grad: false } };
    const given = { ...whole, rests: { shape: [N], data: new Float32Array(N), grad: false } };
    const seeds = { y: new Float32Array(N).fill(1) };
    const gradient = async (eta: number) =>
      (await runOp(gpu, { inputs: given, build: build(chosen(eta)), seeds })).gradients.logits!;
    const [with0, with3] = [await gradient(0), await gradient(3)];
    for (let i = 0; i < N; i++) {
      expect(with3[i * V + others[i]!]).toBeCloseTo(with0[i * V + others[i]!]!, 6);
      if (apart[i] === 1) expect(with3[i * V + targets[i]!]).toBeLessThan(with0[i * V + targets[i]!]! - 1e-4);
    }
  });
});

describe("distillation of mixed rows", async () => {
  const [N, D, K] = [6, 4, 3];
  const labels = [0, 1, 0, 2, 1, 2];
  const net = { model_type: "mlp", input_size: D, hidden_sizes: [6], num_labels: K };
  const x = normals(3, N * D);
  const batch = stackExamples(
    labels.map((label, i) => ({
      ...{ x: Float32Array.from(x.subarray(D * i, D * (i + 1))), shape: [D], label, place: `rows:${i}` },
    })),
  );
  const [student, teacher] = [
    await Model.fresh(gpu, net, "s", { seed: 1 }),
    await Model.fresh(gpu, net, "t", { seed: 2 }),
  ];
  const weights = { distill: 0.9, labels: 0.1 };
  const teachers = [liveTeacher(teacher, K)];
  const of = (method: unknown, mixing?: { beta: number; keep?: number; seed: number }) =>
    lossOf({ model: student, method: method as DistillMethod, teachers, weights, mixing }, batch);

  test("mixed rows by both labels, divided logits: the formula in float64", async () => {
    const { partners, shares } = mixture(batch.places, N, { beta: 0.7, seed: 5 });
    const says = async (model: Model) => {
      const read = await Promise.all(
        [...model.parameters].map(
          async ([name, { buffer, size }]) => [name, await gpu.readFloats(buffer, size)] as const,
        ),
      );
      const [w0, b0, w1, b1] = ["weight", "bias", "weight", "bias"].map(
        (end, i) => read.filter(([name]) => name.endsWith(end))[i >> 1]![1],
      );
      const layer = (input: readonly number[], w: Float32Array, b: Float32Array) =>
        [...b].map((start, j) => input.reduce((sum, v, i) => sum + v * w[j * input.length + i]!, start));
      return (row: readonly number[]) =>
        layer(
          layer(row, w0!, b0!).map((h) => Math.max(0, h)),
          w1!,
          b1!,
        );
    };
    const [s, t] = [await says(student), await says(teacher)];
    const divided = (z: readonly number[]) => {
      const mean = z.reduce((a, b) => a + b, 0) / K;
      const deviation = Math.sqrt(z.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (K - 1));
      return z.map((v) => v / deviation);
    };
    let expected = 0;
    for (const [i, label] of labels.entries()) {
      const [j, share] = [partners[i]!, shares[i]!];
      const row = Array.from({ length: D }, (_, k) => share * x[D * i + k]! + (1 - share) * x[D * j + k]!);
      const [zs, zt] = [divided(s(row)), divided(t(row))];
      const logs = (z: readonly number[]) => z.map((v) => v - lse(z));
      const kl = logs(zt).reduce((sum, l, k) => sum + Math.exp(l) * (l - logs(zs)[k]!), 0);
      const nll = share * (lse(zs) - zs[label]!) + (1 - share) * (lse(zs) - zs[labels[j]!]!);
      expected += (0.9 * kl + 0.1 * nll) / N;
    }
    const { metrics } = await of(mixkd, { beta: 0.7, seed: 5 });
    expect(metrics.loss).toBeCloseTo(expected, 5);
  });

  test("all rows kept whole is no mixup", async () => {
    for (const method of [mixkd, kd]) {
      const [kept, plain] = [await of(method, { beta: 1, keep: 1, seed: 5 }), await of(method)];
      expect(kept.metrics.loss).toBeCloseTo(plain.metrics.loss!, 6);
      for (const [i, g] of kept.gradients.entries()) expect(Math.abs(g - plain.gradients[i]!)).toBeLessThan(1e-6);
    }
    expect((await of(kd, { beta: 1, seed: 5 })).metrics.loss).not.toBeCloseTo((await of(kd)).metrics.loss!, 3);
  });

  test("logits over their deviation are those of c times the logits", async () => {
    const logits = normals(8, N * K, 2);
    const over = async (c: number) => {
      const data = logits.map((v) => c * v);
      return (
        await runOp(gpu, { inputs: { z: { shape: [N, K], data } }, build: (rec, { z }) => standardised(rec, z!) })
      ).outputs.y!;
    };
    const once = await over(1);
    for (const c of [0.01, 30]) for (const [i, v] of (await over(c)).entries()) expect(v).toBeCloseTo(once[i]!, 4);
  });
});
