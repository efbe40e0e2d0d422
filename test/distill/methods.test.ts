/**
 * Losses of distillation methods: the card's test vectors, limits in which one is another, and what adapts. Laws that
 * methods claim are in test/laws/distill.test.ts, golden values and gradients in test/golden.
 */
import { describe, expect, test } from "bun:test";
import type { DistillMethod } from "../../src/distill/contract.ts";
import { layerPairs } from "../../src/distill/layer-pairs.ts";
import { method as akl } from "../../src/distill/methods/akl.ts";
import { method as dualHead, logitLoss } from "../../src/distill/methods/dual-head.ts";
import { method as hidden } from "../../src/distill/methods/hidden.ts";
import { method as jsd } from "../../src/distill/methods/jsd.ts";
import { method as kd } from "../../src/distill/methods/kd.ts";
import { method as lssd } from "../../src/distill/methods/lssd.ts";
import { method as mowst } from "../../src/distill/methods/mowst.ts";
import { method as mtard, mtardBalance } from "../../src/distill/methods/mtard.ts";
import { method as reverseKl } from "../../src/distill/methods/reverse-kl.ts";
import { method as selfFurther } from "../../src/distill/methods/self-further.ts";
import { method as skewKl } from "../../src/distill/methods/skew-kl.ts";
import { method as skewRkl } from "../../src/distill/methods/skew-rkl.ts";
import { method as taid, taidSchedule } from "../../src/distill/methods/taid.ts";
import { method as tvd } from "../../src/distill/methods/tvd.ts";
import { cosineDistance, meanSquare, pseudoHuber } from "../../src/distill/state-distance.ts";
import { confidence } from "../../src/run/confidence.ts";
import { sharedGpu } from "../support/gpu.ts";
import { checkOp, runOp } from "../support/program.ts";
import { normals } from "../support/random.ts";
import { runRows, settingsOf } from "./rows.ts";

const gpu = await sharedGpu();
const method = (given: unknown) => given as DistillMethod;
const softmax = (x: ArrayLike<number>, temperature = 1): number[] => {
  const most = Math.max(...Array.from(x));
  const e = Array.from(x, (z) => Math.exp((z - most) / temperature));
  const sum = e.reduce((a, b) => a + b, 0);
  return e.map((z) => z / sum);
};
const entropy = (x: ArrayLike<number>) => -softmax(x).reduce((sum, p) => sum + p * Math.log(p), 0);
const worst = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0);

describe("the card's test vectors", () => {
  const student = [0.5, 0.2, 0.1, -0.3];
  const teacher = [2, 1, 0, -1];
  test.each([
    ["fkl", method(kd), {}, 0.235017, [-0.294321, 0.022102, 0.147195, 0.125024]],
    ["rkl", method(reverseKl), {}, 0.291018, [-0.315268, -0.052267, 0.163613, 0.203922]],
    ["jsd 0.5", method(jsd), { beta: 0.5 }, 0.062381, [-0.07129, -0.001672, 0.037547, 0.035415]],
    ["jsd 0.1", method(jsd), { beta: 0.1 }, 0.021303, undefined],
    ["jsd 0.9", method(jsd), { beta: 0.9 }, 0.025059, undefined],
    ["skew-kl", method(skewKl), { alpha: 0.1 }, 0.19331, [-0.232268, 0.008885, 0.11892, 0.104463]],
    ["skew-rkl", method(skewRkl), { alpha: 0.1 }, 0.216669, [-0.237844, -0.022751, 0.127396, 0.133199]],
    ["tvd", method(tvd), {}, 0.294321, [-0.227378, 0.090539, 0.081923, 0.054915]],
  ] as const)("%s", async (_, chosen, settings, value, slope) => {
    const { losses, gradient } = await runRows(gpu, chosen, { student, teachers: [teacher], outputs: 4, settings });
    expect(losses[0]).toBeCloseTo(value, 5);
    if (slope) expect(worst(gradient, slope)).toBeLessThan(2e-6);
  });

  test("taid at t = 0.4", async () => {
    const run = { student, teachers: [teacher], outputs: 4, values: { t: 0.4 } };
    const { losses, gradient } = await runRows(gpu, taid, run);
    expect(losses[0]).toBeCloseTo(1.269323, 5);
    expect(worst(gradient, [-0.126659, -0.007668, 0.066006, 0.068321])).toBeLessThan(2e-6);
  });

  test("akl", async () => {
    const run = { student: [1.5, 0.2, 0.9, -0.4], teachers: [[1.2, 1, 0.8, -1]], outputs: 4 };
    const { losses, notes } = await runRows(gpu, akl, run);
    expect(losses[0]).toBeCloseTo(0.097592, 5);
    expect(notes.head_share![0]).toBeCloseTo(0.347442, 5);
  });

  test("the dual head's logit loss, tau 2", async () => {
    const { outputs } = await runOp(gpu, {
      inputs: {
        b: { shape: [1, 4], data: Float32Array.from(student) },
        t: { shape: [1, 4], data: Float32Array.from(teacher) },
      },
      build: (rec, { b, t }) => logitLoss(rec, b!, t!, 2),
    });
    expect(outputs.y![0]).toBeCloseTo(0.416557, 5);
  });
});

describe("where one divergence is another", () => {
  const [n, v] = [5, 37];
  const student = normals(1, n * v, 2);
  const teacher = normals(2, n * v, 2);
  const both = { student, teachers: [teacher], outputs: v };

  test("forward KL at a temperature pulls as strongly when it is large", async () => {
    const hot = await runRows(gpu, kd, { ...both, settings: { temperature: 50 } });
    const hotter = await runRows(gpu, kd, { ...both, settings: { temperature: 100 } });
    const size = (x: Float32Array) => Math.hypot(...x);
    expect(Math.abs(size(hot.gradient) / size(hotter.gradient) - 1)).toBeLessThan(0.05);
  });

  test("jsd tends to the two KLs when it is divided by the smaller weight", async () => {
    const forward = await runRows(gpu, kd, both);
    const reverse = await runRows(gpu, reverseKl, both);
    const near = await runRows(gpu, jsd, { ...both, settings: { beta: 1e-3, jsd_scale: true } });
    const far = await runRows(gpu, jsd, { ...both, settings: { beta: 1 - 1e-3, jsd_scale: true } });
    for (let row = 0; row < n; row++) {
      expect(Math.abs(near.losses[row]! / forward.losses[row]! - 1)).toBeLessThan(0.05);
      expect(Math.abs(far.losses[row]! / reverse.losses[row]! - 1)).toBeLessThan(0.05);
    }
  });

  test("jsd with beta 0 and 1 is forward and reverse KL, as in GKD", async () => {
    const ends = [
      await runRows(gpu, jsd, { ...both, settings: { beta: 0 } }),
      await runRows(gpu, jsd, { ...both, settings: { beta: 1 } }),
    ];
    const plain = [await runRows(gpu, kd, both), await runRows(gpu, reverseKl, both)];
    expect(ends[0]!.losses).toEqual(plain[0]!.losses);
    expect(ends[1]!.gradient).toEqual(plain[1]!.gradient);
  });

  test("jsd of 1/2 and total variation are symmetric, and bounded", async () => {
    for (const chosen of [method(jsd), method(tvd)]) {
      const one = await runRows(gpu, chosen, both);
      const other = await runRows(gpu, chosen, { student: teacher, teachers: [student], outputs: v });
      expect(worst(one.losses, other.losses)).toBeLessThan(1e-5);
      for (const loss of one.losses) expect(loss).toBeLessThan(chosen.name === "tvd" ? 1 : Math.LN2);
    }
  });

  test.each([
    ["skew-kl", method(skewKl), method(kd)],
    ["skew-rkl", method(skewRkl), method(reverseKl)],
  ])("%s with alpha 0 is the plain one, and bounded by -log alpha otherwise", async (_, skewed, plain) => {
    const none = await runRows(gpu, skewed, { ...both, settings: { alpha: 0 } });
    const reference = await runRows(gpu, plain, both);
    expect(worst(none.losses, reference.losses)).toBeLessThan(2e-6);
    expect(worst(none.gradient, reference.gradient)).toBeLessThan(2e-6);
    const far = { student: student.map((x) => 40 * x), teachers: [teacher.map((x) => -40 * x)], outputs: v };
    const { losses, gradient } = await runRows(gpu, skewed, { ...far, settings: { alpha: 0.1 } });
    for (const loss of losses) expect(loss).toBeLessThan(-Math.log(0.1) + 1e-5);
    for (const slope of gradient) expect(Number.isFinite(slope)).toBe(true);
  });

  test("akl lies between the two KLs, and its weight takes no gradient", async () => {
    const { losses, gradient, notes } = await runRows(gpu, akl, both);
    const [forward, reverse] = [await runRows(gpu, kd, both), await runRows(gpu, reverseKl, both)];
    for (let i = 0; i < n * v; i++) {
      const w = notes.head_share![Math.floor(i / v)]!;
      expect(Math.abs(gradient[i]! - (w * forward.gradient[i]! + (1 - w) * reverse.gradient[i]!))).toBeLessThan(1e-5);
    }
    for (let row = 0; row < n; row++) {
      const [f, r] = [forward.losses[row]!, reverse.losses[row]!];
      expect(losses[row]).toBeGreaterThanOrEqual(Math.min(f, r) - 1e-5);
      expect(losses[row]).toBeLessThanOrEqual(Math.max(f, r) + 1e-5);
    }
  });
});

describe("taid", () => {
  const [n, v] = [4, 29];
  const both = { student: normals(3, n * v, 2), teachers: [normals(4, n * v, 2)], outputs: v };
  const options = { t_start: 0.4, t_end: 1, alpha: 5e-4, beta: 0.99, fixed: false };
  const heard = (schedule: ReturnType<typeof taidSchedule>, distill: number, step: number) => {
    const before = schedule.t;
    schedule.heard({ distill, loss: Number.NaN }, step); // only J counts, whatever else is in the loss
    return before;
  };

  test("t = 1 has the gradient of forward KL, t = 0 none", async () => {
    const forward = await runRows(gpu, kd, both);
    const end = await runRows(gpu, taid, { ...both, values: { t: 1 } });
    expect(end.gradient).toEqual(forward.gradient);
    const start = await runRows(gpu, taid, { ...both, values: { t: 0 } });
    expect(start.gradient.every((d) => d === 0)).toBe(true);
  });

  test("the known trace of t", () => {
    const schedule = taidSchedule(options, 1000);
    const used = [2.0, 1.9, 1.95, 1.7].map((loss, i) => heard(schedule, loss, i + 1));
    expect(used[0]).toBe(0.4);
    expect(used[1]).toBe(0.4);
    expect(used[2]).toBeCloseTo(0.4006, 9);
    expect(used[3]).toBeCloseTo(0.4012, 9);
    expect(schedule.t).toBeCloseTo(0.4018, 9);
  });

  test("t never falls, is never behind the line, and comes to the end", () => {
    for (const [seed, steps] of [
      [1, 50],
      [2, 5000],
    ] as const) {
      const schedule = taidSchedule(options, steps);
      const noise = normals(seed, steps, 0.3);
      let before = 0;
      for (let step = 1; step <= steps; step++) {
        heard(schedule, Math.max(1e-3, 3 * Math.exp(-step / 1000) + noise[step - 1]!), step);
        expect(schedule.t).toBeGreaterThanOrEqual(before);
        expect(schedule.t).toBeGreaterThanOrEqual(0.4 + (0.6 * (step - 1)) / steps - 1e-12);
        expect(schedule.t).toBeLessThanOrEqual(1);
        before = schedule.t;
      }
      // The last step's own t is one update behind.
      expect(schedule.t).toBeGreaterThan(1 - 1.01 * (0.6 / steps));
    }
  });

  test("a loss that falls moves t faster than one that rises", () => {
    const run = (factor: number) => {
      const schedule = taidSchedule({ ...options, alpha: 0.5, beta: 0 }, 1e9);
      let loss = 1;
      for (let step = 1; step <= 5; step++, loss *= factor) heard(schedule, loss, step);
      return schedule.t;
    };
    expect(run(0.5)).toBeGreaterThan(run(1));
    expect(run(1)).toBeGreaterThan(run(2));
  });

  test("fixed is the line alone", () => {
    const schedule = taidSchedule({ ...options, fixed: true, alpha: 1 }, 10);
    const trace = Array.from({ length: 10 }, (_, i) => heard(schedule, 1, i + 1));
    for (const [i, t] of trace.entries()) expect(t).toBeCloseTo(0.4 + 0.06 * Math.max(0, i - 1), 12);
  });

  test("a saved schedule goes on where it was", () => {
    const [one, two] = [taidSchedule(options, 100), taidSchedule(options, 100)];
    for (let step = 1; step <= 40; step++) heard(one, 2 - step / 50, step);
    two.load(JSON.parse(JSON.stringify(one.state())));
    for (let step = 41; step <= 100; step++) {
      for (const schedule of [one, two]) heard(schedule, 2 - step / 50, step);
      expect(two.t).toBe(one.t);
    }
  });
});

describe("mtard", () => {
  const options = { balance: "both", temperature_rate: 0.01, weight_rate: 0.1 } as const;

  test("the same teacher twice keeps temperatures and weights equal for ever", async () => {
    const [n, v] = [4, 11];
    const teacher = normals(6, n * v, 2);
    const balance = mtardBalance(options, 2);
    for (let step = 1; step <= 6; step++) {
      const { notes } = await runRows(gpu, mtard, {
        student: normals(10 + step, n * v),
        teachers: [teacher, teacher],
        outputs: v,
        values: balance.values(step) as Record<string, number>,
      });
      const mean = (name: string) => notes[name]!.reduce((a, b) => a + b, 0) / n;
      balance.heard(Object.fromEntries(Object.keys(notes).map((name) => [name, mean(name)])), step);
      expect(balance.tau[0]).toBe(balance.tau[1]!);
      expect(balance.weights).toEqual([0.5, 0.5]);
    }
  });

  test("its loss is the weighted sum of forward KLs to softened teachers, the student at temperature 1", async () => {
    const [n, v] = [3, 13];
    const student = normals(7, n * v);
    const teachers = [normals(8, n * v, 3), normals(9, n * v)];
    const values = { inverse_0: 1 / 2, weight_0: 0.3, inverse_1: 1, weight_1: 0.7 };
    const { losses, notes } = await runRows(gpu, mtard, { student, teachers, outputs: v, values });
    const softened = await runRows(gpu, kd, { student, teachers: [teachers[0]!.map((x) => x / 2)], outputs: v });
    const plain = await runRows(gpu, kd, { student, teachers: [teachers[1]!], outputs: v });
    expect(worst(notes.loss_0!, softened.losses)).toBeLessThan(1e-5);
    expect(
      worst(
        losses,
        softened.losses.map((x, i) => 0.3 * x + 0.7 * plain.losses[i]!),
      ),
    ).toBeLessThan(1e-5);
    for (let row = 0; row < n; row++)
      expect(notes.entropy_1![row]).toBeCloseTo(entropy(teachers[1]!.subarray(row * v, (row + 1) * v)), 5);
  });

  test("weights sum to 1 and move to the loss that has fallen less; temperatures to equal certainty", () => {
    const balance = mtardBalance(options, 3);
    for (let step = 0; step < 200; step++) {
      const fallen = Math.exp(-step / 40);
      balance.heard(
        { loss_0: 2 * fallen, loss_1: 5, loss_2: fallen, entropy_0: 0.2, entropy_1: 1, entropy_2: 1.2 },
        step,
      );
      expect(balance.weights.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 12);
      for (const tau of balance.tau) expect(tau >= 1 && tau <= 10).toBe(true);
    }
    expect(balance.weights[1]).toBeGreaterThan(0.9);
    expect(balance.weights[0]).toBeCloseTo(balance.weights[2]!, 9); // fallen by the same share
    expect(balance.tau[0]).toBeCloseTo(3, 6); // too sure: 200 steps of 0.01
    expect(balance.tau[2]).toBe(1); // less sure than the others, at the lower end
  });

  test.each(["entropy", "norm", "none"] as const)("--balance %s moves nothing else", (balance) => {
    const state = mtardBalance({ ...options, balance }, 2);
    for (let step = 0; step < 5; step++)
      state.heard({ loss_0: 3 - step / 2, loss_1: 3, entropy_0: 0.1, entropy_1: 1 }, step);
    expect(state.weights[0] === 0.5).toBe(balance !== "norm");
    expect(state.tau[0] === 1).toBe(balance !== "entropy");
  });

  test("teachers that are both certain, and losses that are both 0, leave finite numbers", () => {
    const state = mtardBalance(options, 2);
    for (let step = 0; step < 5; step++) state.heard({ loss_0: 0, loss_1: 0, entropy_0: 0, entropy_1: 0 }, step);
    expect(state.weights).toEqual([0.5, 0.5]);
    expect(state.tau).toEqual([1, 1]);
  });
});

describe("lssd", () => {
  const [n, v] = [6, 9];
  const teacher = normals(20, n * v, 2);
  const tops = Array.from({ length: n }, (_, row) => {
    const z = [...teacher.subarray(row * v, (row + 1) * v)];
    return z.indexOf(Math.max(...z));
  });

  test("pulls towards the original with the label put first, which keeps its entropy", async () => {
    const targets = Int32Array.from(tops, (top, row) => (row % 2 === 0 ? top : (top + 3) % v));
    // At a uniform student the gradient of forward KL is 1/v - target: it shows the target.
    const { gradient } = await runRows(gpu, lssd, {
      student: new Float32Array(n * v),
      teachers: [teacher],
      outputs: v,
      targets,
    });
    for (let row = 0; row < n; row++) {
      const target = [...gradient.subarray(row * v, (row + 1) * v)].map((d) => 1 / v - d);
      const original = softmax(teacher.subarray(row * v, (row + 1) * v));
      expect(target.indexOf(Math.max(...target))).toBe(targets[row]!);
      expect(target.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 6);
      expect(worst([...target].sort(), [...original].sort())).toBeLessThan(1e-6); // the same probabilities, so the same entropy
      if (targets[row] === tops[row]) expect(worst(target, original)).toBeLessThan(1e-6);
      else expect(target[tops[row]!]).toBeCloseTo(original[targets[row]!]!, 6);
    }
  });

  test("where the original is right everywhere it is forward KL", async () => {
    const student = normals(21, n * v);
    const run = { student, teachers: [teacher], outputs: v, targets: Int32Array.from(tops) };
    expect((await runRows(gpu, lssd, run)).losses).toEqual((await runRows(gpu, kd, run)).losses);
  });
});

describe("dual-head", () => {
  const [n, v, c] = [4, 6, 5];
  const hiddenRows = normals(30, n * c);
  const head = normals(31, v * c);
  const logits = Float32Array.from({ length: n * v }, (_, i) => {
    const [row, out] = [Math.floor(i / v), i % v];
    let sum = 0;
    for (let j = 0; j < c; j++) sum += hiddenRows[row * c + j]! * head[out * c + j]!;
    return sum;
  });
  const run = {
    student: normals(32, n * v),
    outputs: v,
    hidden: { data: hiddenRows, width: c },
    extra: { second_head: { data: head, shape: [v, c] } },
  };

  test("is 0 where the second head gives the teacher's logits, and then pulls at nothing", async () => {
    const { losses, extra } = await runRows(gpu, dualHead, { ...run, teachers: [logits] });
    expect(worst(losses, new Float32Array(n))).toBeLessThan(1e-5);
    expect(worst(extra.second_head!, new Float32Array(v * c))).toBeLessThan(1e-5);
  });

  test("leaves the main head alone, and its slope is tau (s - 1/2)", async () => {
    const teacher = normals(33, n * v, 3);
    const tau = 2;
    const { gradient, extra } = await runRows(gpu, dualHead, { ...run, teachers: [teacher] });
    expect(gradient.every((d) => d === 0)).toBe(true);
    const expected = new Float64Array(v * c);
    for (let row = 0; row < n; row++)
      for (let out = 0; out < v; out++) {
        const s = 1 / (1 + Math.exp(-(logits[row * v + out]! - teacher[row * v + out]!) / tau));
        for (let j = 0; j < c; j++) expected[out * c + j]! += tau * (s - 0.5) * hiddenRows[row * c + j]!;
      }
    expect(worst(extra.second_head!, expected)).toBeLessThan(1e-5);
  });

  test("a second head of two layers is norm of the rows that count, and its own gradient alone is not 0", async () => {
    const [units, targets] = [200, Int32Array.of(1, -100, 0, 2)];
    const specs = dualHead.extra!({
      student: { width: c } as never,
      teacher: { outputs: v } as never,
      values: { ...settingsOf(dualHead.options), aux_head: "mlp" } as never,
    });
    const extra = Object.fromEntries(
      specs.map(({ name, shape, std }, i) => {
        const count = shape.reduce((a, b) => a * b, 1);
        return [name, { shape, data: std > 0 ? normals(60 + i, count, std) : new Float32Array(count) }];
      }),
    );
    const asked = { ...run, extra, teachers: [normals(33, n * v, 3)], settings: { aux_head: "mlp" } };
    const at = (data: Float32Array, seed = 1) =>
      runRows(gpu, dualHead, { ...asked, targets, hidden: { data, width: c }, values: { seed } });
    const plain = await at(hiddenRows);
    expect(plain.gradient.every((d) => d === 0)).toBe(true);
    for (const { name } of specs.filter(({ name }) => !["aux.layer_bias"].includes(name)))
      expect(worst(plain.extra[name]!, new Float32Array(units * c * v))).toBeGreaterThan(1e-4);
    // The uncounted second row changes nothing of the others; a counted one does.
    const moved = (row: number) => hiddenRows.map((x, i) => (Math.floor(i / c) === row ? x + 1 : x));
    const [free, bound] = [await at(moved(1)), await at(moved(0))];
    expect(Math.abs(free.losses[2]! - plain.losses[2]!)).toBeLessThan(1e-5);
    expect(Math.abs(bound.losses[2]! - plain.losses[2]!)).toBeGreaterThan(1e-3);
    expect((await at(hiddenRows, 2)).losses).not.toEqual(plain.losses); // dropout
  });

  test("the second head is as wide as what student and teacher share", () => {
    const sizes = { student: { width: 5, outputs: 9 }, teacher: { width: 7, outputs: 6 } } as never as {
      student: never;
      teacher: never;
    };
    const values = settingsOf(dualHead.options) as never;
    expect(dualHead.extra!({ ...sizes, values })).toEqual([{ name: "second_head", shape: [6, 5], std: 0.02 }]);
  });
});

describe("hidden", () => {
  const [n, d] = [5, 7];
  const inputs = {
    x: { shape: [n, d], data: normals(40, n * d) },
    y: { shape: [n, d], data: normals(41, n * d), grad: false },
  };
  const rowsOf = (x: Float64Array) => Array.from({ length: n }, (_, i) => x.subarray(i * d, (i + 1) * d));

  test("mean square, against float64 and finite differences", () =>
    checkOp(gpu, "mean square", {
      inputs,
      build: (rec, { x, y }) => meanSquare(rec, x!, y!),
      reference: ({ x, y }) =>
        Float64Array.from(rowsOf(x!), (row, i) => row.reduce((sum, a, j) => sum + (a - y![i * d + j]!) ** 2, 0) / d),
    }));

  test("cosine distance, against float64 and finite differences", () =>
    checkOp(gpu, "cosine distance", {
      inputs,
      build: (rec, { x, y }) => cosineDistance(rec, x!, y!),
      reference: ({ x, y }) =>
        Float64Array.from(rowsOf(x!), (row, i) => {
          const other = y!.subarray(i * d, (i + 1) * d);
          const dot = row.reduce((sum, a, j) => sum + a * other[j]!, 0);
          return 1 - dot / Math.hypot(...row) / Math.hypot(...other);
        }),
    }));

  test("pseudo-Huber distance, against float64 and finite differences", async () => {
    const c = 0.00054 * Math.sqrt(d);
    await checkOp(gpu, "pseudo-Huber distance", {
      inputs,
      build: (rec, { x, y }) => pseudoHuber(rec, x!, y!),
      reference: ({ x, y }) =>
        Float64Array.from(rowsOf(x!), (row, i) => {
          const squares = row.reduce((sum, a, j) => sum + (a - y![i * d + j]!) ** 2, 0);
          return Math.sqrt(squares + c * c) - c;
        }),
    });
    const alike = await runOp(gpu, {
      inputs: { x: { shape: [1, d], data: normals(1, d), grad: true }, y: { shape: [1, d], data: normals(1, d) } },
      build: (rec, { x, y }) => pseudoHuber(rec, x!, y!),
      seeds: { y: Float32Array.of(1) },
    });
    expect([...alike.outputs.y!, ...alike.gradients.x!].every((value) => Math.abs(value) < 1e-9)).toBe(true);
  });

  test("cosine distance of a row of zeros is 1 and its gradient finite", async () => {
    const { outputs, gradients } = await runOp(gpu, {
      inputs: {
        x: { shape: [1, d], data: new Float32Array(d), grad: true },
        y: { shape: [1, d], data: normals(1, d) },
      },
      build: (rec, { x, y }) => cosineDistance(rec, x!, y!),
      seeds: { y: Float32Array.of(1) },
    });
    expect(outputs.y![0]).toBe(1);
    for (const slope of gradients.x!) expect(Number.isFinite(slope)).toBe(true);
  });

  test("pairs of layers", () => {
    expect(layerPairs("last:last")).toEqual([["last", "last"]]);
    expect(layerPairs("0:0, 1:3 ,last:4")).toEqual([
      [0, 0],
      [1, 3],
      ["last", 4],
    ]);
    for (const wrong of ["", "1", "1:2:3", "a:1", "1:-1", "1.5:2", "1:", "1:2,"])
      expect(() => layerPairs(wrong)).toThrow(/--layers: .* is not a pair of layers/);
    expect(() => layerPairs("1:2, 1:2")).toThrow("--layers names 1:2 twice");
  });

  test("a projection for every pair where widths differ, and none where they agree", () => {
    const sizes = (student: number, teacher: number) =>
      ({ student: { width: student }, teacher: { width: teacher } }) as never as { student: never; teacher: never };
    const values = (given = {}) => settingsOf(hidden.options, given) as never;
    const shapes = (list: ReturnType<NonNullable<typeof hidden.extra>>) => list.map(({ shape }) => shape);
    expect(shapes(hidden.extra!({ ...sizes(4, 4), values: values() }))).toEqual([]);
    expect(shapes(hidden.extra!({ ...sizes(4, 4), values: values({ project: true }) }))).toEqual([[4, 4]]);
    expect(shapes(hidden.extra!({ ...sizes(4, 6), values: values({ layers: "1:2,last:last" }) }))).toEqual([
      [6, 4],
      [6, 4],
    ]);
  });

  test("self-further refuses another model", () => {
    const sizes = { student: { width: 4 }, teacher: { width: 6 } } as never;
    expect(() => selfFurther.states!(undefined as never, { sizes } as never)).toThrow(
      "the teacher is 6 wide, the student 4",
    );
  });
});

describe("mowst", () => {
  const weak = [2, 0.5, 0, -1];
  const strong = [0.5, 0.2, 0.1, -0.3];
  const nll = (logits: readonly number[], target: number) => -Math.log(softmax(logits)[target]!);
  /** Gradient of the cross-entropy. */
  const slope = (logits: readonly number[], target: number) =>
    softmax(logits).map((p, i) => p - (i === target ? 1 : 0));

  test.each(["variance", "entropy"] as const)("each model by what the other leaves to it, %s", async (conf) => {
    const c = confidence(weak, conf, 1.5);
    const wanted = c * nll(weak, 1) + (1 - c) * nll(strong, 1);
    const settings = { conf, alpha: 1.5 };
    const run = { outputs: 4, targets: [1] };
    const first = await runRows(gpu, mowst, { ...run, student: strong, teachers: [weak], settings });
    expect(first.losses[0]).toBeCloseTo(wanted, 5);
    expect(first.notes.confidence![0]).toBeCloseTo(c, 5);
    expect(
      worst(
        first.gradient,
        slope(strong, 1).map((x) => (1 - c) * x),
      ),
    ).toBeLessThan(2e-6);
    const second = await runRows(gpu, mowst, {
      ...{ ...run, student: weak, teachers: [strong] },
      settings: { ...settings, role: "weak" },
    });
    expect(second.losses[0]).toBeCloseTo(wanted, 5);
    expect(
      worst(
        second.gradient,
        slope(weak, 1).map((x) => c * x),
      ),
    ).toBeLessThan(2e-6);
  });

  test("with c = 1 the weak model learns alone, and with c = 0 the strong one", async () => {
    const run = { outputs: 4, targets: [2], student: strong };
    const sure = await runRows(gpu, mowst, { ...run, teachers: [weak], settings: { alpha: 0 } });
    expect(worst(sure.gradient, [0, 0, 0, 0])).toBe(0);
    expect(sure.losses[0]).toBeCloseTo(nll(weak, 2), 5);
    const unsure = await runRows(gpu, mowst, { ...run, teachers: [[3, 3, 3, 3]] });
    expect(unsure.losses[0]).toBeCloseTo(nll(strong, 2), 5);
    expect(worst(unsure.gradient, slope(strong, 2))).toBeLessThan(2e-6);
  });
});
