/**
 * The objectives as their files give them: the golden losses of test/golden/loss, float64 references where there is none, the limits in
 * which one is another, and what the frame around them adds. The laws that methods claim are in test/laws/unlearn.test.ts.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { fileURLToPath } from "node:url";
import { openPlain } from "../../src/checkpoint/open.ts";
import { loadMethods } from "../../src/method/registry.ts";
import { crossEntropy } from "../../src/tensor/ops/cross-entropy.ts";
import { rowSum } from "../../src/tensor/ops/reduce.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import type { UnlearnObjective } from "../../src/unlearn/contract.ts";
import { method as altpo } from "../../src/unlearn/methods/objectives/altpo.ts";
import { method as ceU } from "../../src/unlearn/methods/objectives/ce-u.ts";
import { method as dpo } from "../../src/unlearn/methods/objectives/dpo.ts";
import { method as gradAscent } from "../../src/unlearn/methods/objectives/grad-ascent.ts";
import { method as gradDiff } from "../../src/unlearn/methods/objectives/grad-diff.ts";
import { blockRange, method as isolate, retainWeight } from "../../src/unlearn/methods/objectives/isolate.ts";
import { method as klMin } from "../../src/unlearn/methods/objectives/kl-min.ts";
import { method as npo } from "../../src/unlearn/methods/objectives/npo.ts";
import { method as pdu } from "../../src/unlearn/methods/objectives/pdu.ts";
import { method as rmu, steeringVector } from "../../src/unlearn/methods/objectives/rmu.ts";
import { method as satimp } from "../../src/unlearn/methods/objectives/satimp.ts";
import { method as simnpo } from "../../src/unlearn/methods/objectives/simnpo.ts";
import { method as undial } from "../../src/unlearn/methods/objectives/undial.ts";
import { method as wga } from "../../src/unlearn/methods/objectives/wga.ts";
import { sharedGpu } from "../support/gpu.ts";
import { checkOp, hardware, runOp } from "../support/program.ts";
import { normals } from "../support/random.ts";
import { Frame, sumOf, tokenMean } from "./frame.ts";

const gpu = await sharedGpu();
const FOLDER = fileURLToPath(new URL("../golden/loss/", import.meta.url));

async function tensors(file: string): Promise<Map<string, Float32Array | Int32Array>> {
  const opened = await openPlain(FOLDER + file);
  const found = new Map<string, Float32Array | Int32Array>();
  for (const entry of opened.tensors.values()) {
    const bytes = new Uint8Array(entry.bytes);
    await entry.read(bytes, 0);
    found.set(entry.name, entry.dtype === "I32" ? new Int32Array(bytes.buffer) : new Float32Array(bytes.buffer));
  }
  opened.close();
  return found;
}

describe("the golden losses", async () => {
  interface Golden {
    name: string;
    value: number;
    gradient_of: string[];
  }
  const { cases, logits_shape } = (await Bun.file(`${FOLDER}cases.json`).json()) as {
    cases: Golden[];
    logits_shape: [number, number, number];
  };
  const [B, T, V] = logits_shape;
  const N = B * T;
  const inputs = await tensors("inputs.safetensors");
  const expected = await tensors("expected.safetensors");
  const labels = inputs.get("labels") as Int32Array;
  const counted = labels.filter((label) => label >= 0).length;
  const perToken = Float32Array.from(labels, (label) => (label < 0 ? 0 : 1 / counted));
  const perSequence = new Float32Array(B).fill(1 / B);
  const lengths = Float32Array.from(
    { length: B },
    (_, b) => labels.subarray(b * T, (b + 1) * T).filter((label) => label >= 0).length,
  );

  /** Golden case, method, its options, and the factor between the two. */
  const table: [string, UnlearnObjective, Record<string, number>, number?][] = [
    ["gradient_ascent", gradAscent, {}],
    ["gradient_ascent", gradDiff, {}],
    ["gradient_ascent", klMin, {}],
    ["gradient_ascent", isolate, {}],
    ["npo_0.1", npo, { beta: 0.1 }],
    ["npo_0.5", npo, { beta: 0.5 }],
    ["simnpo_0.5_0.0", simnpo, { beta: 0.5, delta: 0 }],
    ["simnpo_2.5_1.0", simnpo, { beta: 2.5, delta: 1 }],
    ["dpo_0.1", dpo, { beta: 0.1 }, 2 / 0.1],
    ["dpo_0.5", dpo, { beta: 0.5 }, 2 / 0.5],
    ["wga_1.0", wga, { beta: 1 }],
    ["satimp_5_1", satimp, { b1: 5, b2: 1 }],
    ["undial_3", undial, { strength: 3 }],
  ];
  const named = (name: string) => cases.find((golden) => golden.name === name)!;

  test("no golden loss of unlearning is left out", () => {
    const families = /^(gradient_ascent|npo|simnpo|dpo|wga|satimp|undial)/;
    const tested = new Set(table.map(([name]) => name));
    expect(cases.map(({ name }) => name).filter((name) => families.test(name) && !tested.has(name))).toEqual([]);
    expect([...tested].filter((name) => !named(name))).toEqual([]);
  });

  test.each(
    table.flatMap(([name, method, values, factor]) => [
      [`${name} by ${method.name}`, name, method, values, factor, undefined] as const,
      [`${name} by ${method.name}, as on a real GPU`, name, method, values, factor, hardware] as const,
    ]),
  )("%s", async (_, name, method, values, factor = 1, profile) => {
    const golden = named(name);
    const data = Object.fromEntries(
      [...inputs].map(([key, array]) => {
        const isLabels = array instanceof Int32Array;
        const grad = golden.gradient_of.includes(key);
        return [key, { shape: isLabels ? [N] : [N, V], data: array, dtype: isLabels ? "i32" : "f32", grad } as const];
      }),
    );
    const sequence = method.per === "sequence";
    const mean = sequence ? perSequence : perToken;
    const { outputs, gradients } = await runOp(gpu, {
      inputs: data,
      build(rec, x) {
        const nllOf = (logits: string, targets = "labels") =>
          rec.reshape(crossEntropy(rec, x[logits]!, x[targets]!), [B, T]);
        if (method.rows)
          return method.rows(rec, {
            logits: x.student_logits!,
            reference: x.reference_logits!,
            targets: x.labels!,
            values: values as never,
          });
        const pair = (which: string) => ({
          nll: nllOf(`policy_${which}_logits`, `labels_${which}`),
          reference: rowSum(rec, nllOf(`reference_${which}_logits`, `labels_${which}`)),
        });
        const given = method.pairs
          ? { ...pair("rejected"), wanted: pair("chosen") }
          : { nll: nllOf("student_logits"), reference: rowSum(rec, nllOf("reference_logits")) };
        const loss = method.sequences!(rec, {
          ...given,
          lengths: rec.constant(lengths, [B], "lengths"),
          values: values as never,
        });
        return sequence ? loss : rec.reshape(loss, [N]);
      },
      seeds: { y: mean },
      ...(profile ? { profile } : {}),
    });
    const value = outputs.y!.reduce((sum, loss, i) => sum + loss * mean[i]!, 0);
    expect(Math.abs(value - factor * golden.value)).toBeLessThan(
      Math.max(1e-6, 1e-5 * Math.abs(factor * golden.value)),
    );
    for (const key of golden.gradient_of) {
      const wanted = expected.get(`${golden.name}.grad.${key}`) as Float32Array;
      const most = factor * wanted.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
      const worst = gradients[key]!.reduce((a, b, i) => Math.max(a, Math.abs(b - factor * wanted[i]!)), 0);
      expect(worst / most).toBeLessThan(2e-5);
    }
  });
});

describe("losses that have no golden", () => {
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
        ceU.rows!(rec, { logits: x.z!, reference: undefined, targets: x.targets!, values: {} as never }),
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
        pdu.rows!(rec, { logits: x.z!, reference: undefined, targets: x.targets!, values: {} as never }),
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
            values: { c: 2.5 } as never, // layer 1, a third of the way up
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
    const { method, values = {} } = given;
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
        method.sequences!(rec, {
          nll: x.nll!,
          lengths: x.lengths!,
          reference: x.reference!,
          ...(given.wanted ? { wanted: { nll: x.wanted!, reference: x.theirs! } } : {}),
          values: values as never,
        }),
      seeds: { y: given.mean ?? new Float32Array(sequence ? B : B * T).fill(1) },
    });
    return { value: outputs.y!, gradient: gradients.nll! };
  }
  const near = (a: Float32Array, b: ArrayLike<number>, error = 1e-6) => {
    expect(a.length).toBe(b.length);
    for (const [i, x] of a.entries()) expect(Math.abs(x - b[i]!)).toBeLessThan(error * (1 + Math.abs(b[i]!)));
  };
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
  test("isolate's retain weight", () => {
    const given = [-1, 0, 0.1, 0.3, 0.5, 0.7, 0.9, 1, 2, 50];
    // 0.3 * 6^d + 0.8 to one decimal within [1.2, 2.3]
    expect(given.map(retainWeight)).toEqual([1.2, 1.2, 1.2, 1.3, 1.5, 1.9, 2.3, 2.3, 2.3, 2.3]);
    expect(blockRange("0-5")).toEqual([0, 1, 2, 3, 4, 5]);
    expect(blockRange(" 3 ")).toEqual([3]);
    expect(() => blockRange("2-1")).toThrow("--layers 2-1 is no range of blocks");
    expect(() => blockRange("0-4", 4)).toThrow("--layers 0-4 is no range of blocks");
  });

  test("isolate compares with the mean of the first epoch, and goes on from a saved state", () => {
    const make = (fixed = false) =>
      isolate.adaptive!({
        values: { fixed, layers: "0", part: "mlp" } as never,
        weights: { forget: 1, retain: 1.2 },
        steps: 9,
        perEpoch: 2,
      });
    const found = make();
    const heard = [1, 2, 2.2, 1.4, 9];
    const weights = heard.map((loss, i) => {
      const { retain } = found.weights(i + 1);
      found.heard!({ retain_loss: loss }, i + 1);
      return retain;
    });
    expect(weights).toEqual([1.2, 1.2, 1.2, retainWeight(0.7), 1.2]);
    const other = make();
    other.load(JSON.parse(JSON.stringify(found.state())));
    expect(other.weights(6)).toEqual({ forget: 1, retain: 2.3 });
    const fixed = make(true);
    for (let step = 1; step < 6; step++) fixed.heard!({ retain_loss: 9 }, step);
    expect(fixed.weights(6).retain).toBe(1.2);
  });

  test("pdu's multiplier follows the violation after its warm-up, and is never negative", () => {
    const found = pdu.adaptive!({
      values: { limit: 0.5, rate: 2, warmup_epochs: 1 } as never,
      weights: { forget: 1, retain: 3 },
      steps: 9,
      perEpoch: 2,
    });
    const weights = [9, 9, 0.75, 0, 0, 0, 0, 0, 1].map((loss, i) => {
      const { retain } = found.weights(i + 1);
      found.heard!({ retain_loss: loss }, i + 1);
      return retain;
    });
    expect(weights).toEqual([3, 3, 3, 3.5, 2.5, 1.5, 0.5, 0, 0]);
    expect(found.weights(10).retain).toBe(1);
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
