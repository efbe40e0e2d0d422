/**
 * The objectives as their files give them: float64 references where test/golden/loss has none, the limits in which one
 * is another, and what the frame around them adds. The laws that methods claim are in test/laws/unlearn.test.ts.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { bindDefaults } from "../../src/method/bind.ts";
import { loadMethods } from "../../src/method/registry.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import type { UnlearnObjective } from "../../src/unlearn/contract.ts";
import { method as altpo } from "../../src/unlearn/methods/objectives/altpo.ts";
import { method as ceU } from "../../src/unlearn/methods/objectives/ce-u.ts";
import { method as dpo } from "../../src/unlearn/methods/objectives/dpo.ts";
import { method as gradAscent } from "../../src/unlearn/methods/objectives/grad-ascent.ts";
import { method as gradDiff } from "../../src/unlearn/methods/objectives/grad-diff.ts";
import { blockRange, method as isolate, weightOf } from "../../src/unlearn/methods/objectives/isolate.ts";
import { method as klMin } from "../../src/unlearn/methods/objectives/kl-min.ts";
import { method as npo } from "../../src/unlearn/methods/objectives/npo.ts";
import { method as pdu } from "../../src/unlearn/methods/objectives/pdu.ts";
import { method as rmu, steeringVector } from "../../src/unlearn/methods/objectives/rmu.ts";
import { method as satimp } from "../../src/unlearn/methods/objectives/satimp.ts";
import { method as simnpo } from "../../src/unlearn/methods/objectives/simnpo.ts";
import { method as wga } from "../../src/unlearn/methods/objectives/wga.ts";
import { sharedGpu } from "../support/gpu.ts";
import { checkOp, runOp } from "../support/program.ts";
import { normals } from "../support/random.ts";
import { Frame, sumOf, tokenMean } from "./frame.ts";

const gpu = await sharedGpu();
const near = (a: ArrayLike<number>, b: ArrayLike<number>, error = 1e-6) => {
  expect(a.length).toBe(b.length);
  for (const [i, x] of Array.from(a).entries()) expect(Math.abs(x - b[i]!)).toBeLessThan(error * (1 + Math.abs(b[i]!)));
};

describe("losses that have no golden", () => {
  const original = (): never => {
    throw new Error("the loss asks for theta0");
  };
  const [N, V] = [5, 7];
  const targets = { shape: [N], data: Int32Array.of(3, 0, -100, 6, 2), dtype: "i32" } as const;
  const z = { shape: [N, V], data: normals(5, N * V, 2) };
  const row = (x: Float64Array, n: number) => [...x.subarray(n * V, (n + 1) * V)];
  const logSum = (values: readonly number[]) => {
    const most = Math.max(...values);
    return most + Math.log(values.reduce((sum, value) => sum + Math.exp(value - most), 0));
  };

  test("ce-u is the cross-entropy against the model's own distribution without the true token, which takes no gradient", async () => {
    const fixed = Float64Array.from(z.data);
    await checkOp(gpu, "ce-u", {
      inputs: { z, targets },
      build: (rec, x) =>
        ceU.rows!(rec, { logits: x.z!, targets: x.targets!, original, untrained: original, ...bindDefaults(ceU) }),
      reference: ({ z: logits }) =>
        Float64Array.from(targets.data, (target, n) => {
          if (target < 0) return 0;
          const others = row(fixed, n).map((value, v) => (v === target ? -Infinity : value));
          const now = row(logits!, n);
          return others.reduce((sum, value, v) => {
            const q = Math.exp(value - logSum(others));
            return q === 0 ? sum : sum - q * (now[v]! - logSum(now));
          }, 0);
        }),
    });
  });

  test("pdu is the square of the largest logit less the mean", async () => {
    await checkOp(gpu, "pdu", {
      inputs: { z, targets: { ...targets, grad: false } },
      build: (rec, x) =>
        pdu.rows!(rec, { logits: x.z!, targets: x.targets!, original, untrained: original, ...bindDefaults(pdu) }),
      reference: ({ z: logits }) =>
        Float64Array.from({ length: N }, (_, n) => {
          const values = row(logits!, n);
          return (Math.max(...values) - values.reduce((a, b) => a + b, 0) / V) ** 2;
        }),
      backward: 2e-5,
    });
  });

  test("rmu is the mean over the width of the squared distance to its vector, or to theta0's states", async () => {
    const u = steeringVector(V, 2.5, 9);
    expect(Math.abs(Math.hypot(...u) - 2.5)).toBeLessThan(1e-6);
    expect(u.every((x) => x >= 0)).toBe(true);
    expect(steeringVector(V, 2.5, 9)).toEqual(u);
    expect(steeringVector(V, 2.5, 10)).not.toEqual(u);
    const theirs = { shape: [N, V], data: normals(6, N * V), grad: false };
    const noted = (h: Tensor) => ({ notes: new Map([["hidden.2", h]]) }) as never;
    for (const part of ["forget", "retain"] as const)
      await checkOp(gpu, "rmu", {
        inputs: { z, theirs },
        build: (rec, x) =>
          rmu.states!(rec, {
            current: noted(x.z!),
            reference: part === "retain" ? noted(x.theirs!) : undefined,
            part,
            layers: 4,
            width: V,
            seed: 9,
            ...bindDefaults(rmu, { c: 2.5 }), // layer 1, a third of the way up
          }),
        reference: ({ z: h, theirs: h0 }) =>
          Float64Array.from(
            { length: N },
            (_, n) =>
              row(h!, n).reduce((sum, x, i) => sum + (x - (part === "forget" ? u[i]! : h0![n * V + i]!)) ** 2, 0) / V,
          ),
      });
  });
});

describe("where one objective is another", () => {
  const [B, T] = [3, 5];
  const lengths = Float32Array.of(5, 3, 1);
  const nll = Float32Array.from(normals(11, B * T), (x, i) =>
    i % T < lengths[Math.floor(i / T)]! ? Math.abs(x) + 0.05 : 0,
  );
  const sums = Float32Array.from({ length: B }, (_, b) => nll.subarray(b * T, (b + 1) * T).reduce((a, x) => a + x, 0));
  const reference = Float32Array.of(sums[0]! + 0.5, sums[1]!, sums[2]! - 2);

  interface Given {
    method: UnlearnObjective;
    values?: Record<string, number>;
    nll?: Float32Array;
    reference?: Float32Array;
    wanted?: { nll: Float32Array; reference: Float32Array };
    /** Gradient of every token, or of every sequence. */
    mean?: Float32Array;
  }
  /** Value and gradient to the nll of every token. */
  async function slopes(given: Given): Promise<{ value: Float32Array; gradient: Float32Array }> {
    const { method, values } = bindDefaults(given.method, given.values);
    const grid = (data: Float32Array, grad: boolean) => ({ shape: [B, T], data, grad });
    const sequence = method.per === "sequence";
    const { outputs, gradients } = await runOp(gpu, {
      inputs: {
        nll: grid(given.nll ?? nll, true),
        reference: { shape: [B], data: given.reference ?? reference },
        lengths: { shape: [B], data: lengths },
        ...(given.wanted
          ? { wanted: grid(given.wanted.nll, false), theirs: { shape: [B], data: given.wanted.reference } }
          : {}),
      },
      build: (rec, x) =>
        method.sequences!(
          rec,
          Object.assign(
            { nll: x.nll!, lengths: x.lengths!, values },
            { reference: x.reference!, wanted: { nll: x.wanted!, reference: x.theirs! } },
          ),
        ),
      seeds: { y: given.mean ?? new Float32Array(sequence ? B : B * T).fill(1) },
    });
    return { value: outputs.y!, gradient: gradients.nll! };
  }
  const each = (of: (b: number) => number) => Float32Array.from({ length: B * T }, (_, i) => of(Math.floor(i / T)));
  const sigma = (x: number) => 1 / (1 + Math.exp(-x));

  test("npo with beta to 0 is gradient ascent on the sum of a sequence", async () => {
    const { gradient } = await slopes({ method: npo, values: { beta: 1e-6 } });
    near(
      gradient,
      each(() => -1),
      1e-5,
    );
  });

  test("npo weighs a sequence by 2 sigma(-beta (L - L_ref)): 1 at the start, less as it is forgotten", async () => {
    const { gradient, value } = await slopes({ method: npo, values: { beta: 0.7 } });
    near(
      gradient,
      each((b) => -2 * sigma(-0.7 * (sums[b]! - reference[b]!))),
      2e-6,
    );
    expect(gradient[T]).toBe(-1); // L = L_ref
    expect(Math.abs(value[1]! - (2 / 0.7) * Math.LN2)).toBeLessThan(1e-6);
    expect(gradient[2 * T]!).toBeGreaterThan(gradient[T]!); // more forgotten: nearer to 0
    expect(gradient[0]!).toBeLessThan(gradient[T]!);
  });

  test("dpo without a change of the wanted answer is npo", async () => {
    const theirs = Float32Array.of(4, 5, 6);
    const wanted = {
      nll: Float32Array.from({ length: B * T }, (_, i) => (i % T === 0 ? theirs[i / T]! : 0)),
      reference: theirs,
    };
    const pair = await slopes({ method: dpo, values: { beta: 0.3 }, wanted });
    const alone = await slopes({ method: npo, values: { beta: 0.3 } });
    near(pair.value, alone.value);
    near(pair.gradient, alone.gradient);
  });

  test("altpo is dpo to answers from elsewhere", async () => {
    const wanted = { nll: nll.map((x, i) => x / (1 + (i % 3))), reference: Float32Array.of(4, 5, 6) };
    const [one, other] = [
      await slopes({ method: altpo, values: { beta: 0.3 }, wanted }),
      await slopes({ method: dpo, values: { beta: 0.3 }, wanted }),
    ];
    expect(one).toEqual(other);
  });

  test("simnpo is npo by the length of a sequence without a reference", async () => {
    const means = nll.map((x, i) => x / lengths[Math.floor(i / T)]!);
    const sim = await slopes({ method: simnpo, values: { beta: 4.5, delta: 0 } });
    const plain = await slopes({ method: npo, values: { beta: 4.5 }, nll: means, reference: new Float32Array(B) });
    near(sim.value, plain.value);
    near(
      sim.gradient,
      plain.gradient.map((g, i) => g / lengths[Math.floor(i / T)]!),
    );
  });

  test("simnpo's delta is the loss at which a sequence counts half", async () => {
    const delta = sums[1]! / lengths[1]!;
    const { gradient } = await slopes({ method: simnpo, values: { beta: 4.5, delta } });
    near(gradient.subarray(T, T + 3), [-1 / 3, -1 / 3, -1 / 3], 1e-5);
  });

  test("satimp with b2 = 0 is wga, and wga with beta 0 gradient ascent", async () => {
    const [sat, weighted] = [
      await slopes({ method: satimp, values: { b1: 3, b2: 0 } }),
      await slopes({ method: wga, values: { beta: 3 } }),
    ];
    expect(sat).toEqual(weighted);
    const [zero, ascent] = [await slopes({ method: wga, values: { beta: 0 } }), await slopes({ method: gradAscent })];
    expect(zero).toEqual(ascent);
    near(
      ascent.gradient,
      each(() => -1),
    );
  });

  test("wga and satimp weigh tokens by their probability, which takes no gradient", async () => {
    near(
      (await slopes({ method: wga, values: { beta: 2 } })).gradient,
      nll.map((x) => -Math.exp(-2 * x)),
    );
    const sat = await slopes({ method: satimp, values: { b1: 5, b2: 1 } });
    const valid = (x: number, i: number) => (x === 0 ? sat.gradient[i]! : -Math.exp(-5 * x) * (1 - Math.exp(-x)));
    near(sat.gradient, nll.map(valid));
  });

  test("satimp of a token that is certain takes nothing, and is finite", async () => {
    const certain = nll.map((x, i) => (i < 2 ? [0, 1e-9][i]! : x));
    const { value, gradient } = await slopes({ method: satimp, values: { b1: 5, b2: 1 }, nll: certain });
    expect([...value, ...gradient].every(Number.isFinite)).toBe(true);
    expect(Math.abs(gradient[0]!)).toBe(0);
    expect(Math.abs(gradient[1]!)).toBeLessThan(1e-6);
  });
});

describe("weights that change from step to step", () => {
  test("isolate's blocks", () => {
    expect(blockRange("0-5")).toEqual([0, 1, 2, 3, 4, 5]);
    expect(blockRange(" 3 ")).toEqual([3]);
    expect(() => blockRange("2-1")).toThrow("--layers 2-1 is not a range of blocks");
    expect(() => blockRange("0-4", 4)).toThrow("--layers 0-4 is not a range of blocks");
  });

  test("isolate's retain weight is 0.3 * 6^d + 0.8 to one decimal within [1.2, 2.3]", async () => {
    const change = Float32Array.of(-50, -1, 0, 0.1, 0.3, 0.5, 0.7, 0.9, 1, 2, 50);
    const { outputs } = await runOp(gpu, {
      inputs: { change: { shape: [change.length], data: change } },
      build: (rec, x) => weightOf(rec, x.change!),
    });
    near(outputs.y!, [1.2, 1.2, 1.2, 1.2, 1.3, 1.5, 1.9, 2.3, 2.3, 2.3, 2.3]);
  });

  test("isolate holds its weight for an epoch, then compares with the mean of that epoch, and resumes", () => {
    const make = (fixed = false) =>
      isolate.adaptive!({
        ...bindDefaults(isolate, { fixed }),
        weights: { forget: 1, retain: 1.4 },
        steps: 9,
        perEpoch: 2,
        passes: { forget: 2, retain: 2 },
      });
    const held = { retain_weight: 1.4, follows: 0, minus_first_epoch: 0 };
    const follows = { retain_weight: 0, follows: 1, minus_first_epoch: -1.5 };
    const found = make();
    const heard = [1, 2, 2.2, 1.4].map((loss, i) => {
      const values = found.values(i + 1);
      found.heard!({ retain_loss: loss }, i + 1);
      return values;
    });
    expect(heard).toEqual([held, held, follows, follows]);
    const other = make();
    other.load(JSON.parse(JSON.stringify(found.state())));
    expect(other.values(5)).toEqual(follows);
    expect(make(true).values(5)).toEqual(held);
  });

  test("pdu's multiplier follows the violation after its warm-up, and is never negative", () => {
    const found = pdu.adaptive!({
      ...bindDefaults(pdu, { limit: 0.5, rate: 2, warmup_epochs: 1 }),
      weights: { forget: 1, retain: 3 },
      steps: 9,
      perEpoch: 2,
      passes: { forget: 2, retain: 2 },
    });
    const weights = [9, 9, 0.75, 0, 0, 0, 0, 0, 1].map((loss, i) => {
      const { retain_weight: retain } = found.values(i + 1);
      found.heard!({ retain_loss: loss }, i + 1);
      return retain;
    });
    expect(weights).toEqual([3, 3, 3, 3.5, 2.5, 1.5, 0.5, 0, 0]);
    expect(found.values(10)).toEqual({ retain_weight: 1 });
    expect(found.state()).toBe(1);
  });
});

describe("the frame", async () => {
  const frame = await Frame.make(gpu);
  afterAll(() => frame.free());
  const { forget, wanted } = frame.nll;
  const objectives = (await loadMethods("unlearn")).filter((method) => method.kind === "objective");
  const softplus = (x: number) => Math.log1p(Math.exp(x));
  const ascent = () => -tokenMean(forget, (x) => x);

  /** Means of forget terms in float64, from the likelihoods alone; `shift` is added to those of theta0. */
  const VALUES: [UnlearnObjective, Record<string, number>, (shift: number) => number][] = [
    [gradAscent, {}, ascent],
    [gradDiff, {}, ascent],
    [klMin, {}, ascent],
    [isolate, {}, ascent],
    [npo, { beta: 0.3 }, (shift) => (2 / 0.3) * softplus(-0.3 * -shift)],
    [
      simnpo,
      { beta: 2, delta: 0.5 },
      () => sumOf(forget.map((row) => softplus(-2 * (sumOf(row) / row.length - 0.5)))) / forget.length,
    ],
    [dpo, { beta: 0.2 }, (shift) => (2 / 0.2) * softplus(0.2 * shift)],
    [wga, { beta: 1 }, () => -tokenMean(forget, (x) => Math.exp(-x) * x)],
    [satimp, { b1: 2, b2: 1 }, () => -tokenMean(forget, (x) => Math.exp(-2 * x) * (1 - Math.exp(-x)) * x)],
  ];
  test.each(VALUES.map(([method, settings, value]) => [method.name, method, settings, value] as const))(
    "the mean of %s is what its definition says",
    async (_, method, settings, value) => {
      const { metrics } = await frame.run(method, { settings, part: "forget", weight: 0.25, shift: 1.5 });
      const expected = value(1.5);
      expect(Math.abs(metrics.forget_loss! - expected)).toBeLessThan(2e-5 * (1 + Math.abs(expected)));
      expect(Math.abs(metrics.loss! - 0.25 * expected)).toBeLessThan(1e-5 * (1 + Math.abs(expected)));
    },
  );

  test.each(objectives.map((method) => [method.name, method] as const))(
    "%s: the decoupled prompts are learnt by cross-entropy, whatever the method",
    async (_, method) => {
      const { metrics, gradients } = await frame.run(method, { part: "pd" });
      expect(Math.abs(metrics.pd_loss! - tokenMean(wanted, (x) => x))).toBeLessThan(1e-4);
      const plain = await frame.run(gradDiff, { part: "pd" });
      expect(gradients).toEqual(plain.gradients);
    },
  );

  test("isolate weighs the retain loss of a batch by that very loss", async () => {
    const { retain } = frame.nll;
    // The first epoch's mean lies 0.4 and 1 below the loss of two micro-batches.
    const batches = [
      [0, 1],
      [2, 3],
    ];
    const losses = batches.map((rows) =>
      tokenMean(
        rows.map((i) => retain[i]!),
        (x) => x,
      ),
    );
    const counts = batches.map((rows) => rows.reduce((sum, i) => sum + retain[i]!.length, 0));
    const share = (k: number) => counts[k]! / (counts[0]! + counts[1]!);
    const base = losses[0]! - 0.4;
    const weights = losses.map((loss) => Math.min(2.3, Math.max(1.2, Math.round(3 * 6 ** (loss - base) + 8) / 10)));
    const numbers = { retain_weight: 0, follows: 1, minus_first_epoch: -base };
    const followed = await frame.run(isolate, { part: "retain", batches, numbers });
    const mean = (of: (k: number) => number) => share(0) * of(0) + share(1) * of(1);
    expect(Math.abs(followed.metrics.retain_loss! - mean((k) => losses[k]!))).toBeLessThan(1e-5);
    expect(Math.abs(followed.metrics.retain_weight! - mean((k) => weights[k]!))).toBeLessThan(1e-5);
    expect(Math.abs(followed.metrics.loss! - mean((k) => weights[k]! * losses[k]!))).toBeLessThan(1e-5);
    const alone: Awaited<ReturnType<Frame["run"]>>[] = [];
    for (const rows of batches) alone.push(await frame.run(gradDiff, { part: "retain", batches: [rows] }));
    for (const [name, g] of followed.gradients)
      for (const [i, x] of g.entries())
        expect(Math.abs(x - mean((k) => weights[k]! * alone[k]!.gradients.get(name)![i]!))).toBeLessThan(1e-5);
    // Held, it is gradient difference at the weight that was given.
    const held = await frame.run(isolate, { part: "retain", batches, weight: 0.7 });
    expect(held.gradients).toEqual((await frame.run(gradDiff, { part: "retain", batches, weight: 0.7 })).gradients);
    expect(held.metrics.retain_weight).toBeCloseTo(0.7, 6);
  });

  test("rmu's gradient ends at its block", async () => {
    const { gradients } = await frame.run(rmu, { settings: { layer: 0 }, part: "forget" });
    const moved = [...gradients].filter(([, g]) => g.some((x) => x !== 0)).map(([tensor]) => tensor);
    expect(moved.length).toBeGreaterThan(5);
    expect(moved.filter((tensor) => /layers\.1|norm\.weight$/.test(tensor) && !tensor.includes("layers.0"))).toEqual(
      [],
    );
    expect(moved.some((tensor) => tensor.includes("layers.0.mlp.down_proj"))).toBe(true);
  });
});
