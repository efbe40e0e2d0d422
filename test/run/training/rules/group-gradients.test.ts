import { describe, expect, test } from "bun:test";
import { bindDefaults } from "../../../../src/method/bind.ts";
import { nearestMixture } from "../../../../src/run/simplex.ts";
import type { GradientRule } from "../../../../src/run/training/gradient-rule.ts";
import { paretoGradient, paretoWeights, shortestWeights } from "../../../../src/run/training/pareto-weights.ts";
import { method as asam } from "../../../../src/train/methods/gradient-rules/asam.ts";
import { averseWeights, method as cagrad } from "../../../../src/train/methods/gradient-rules/cagrad.ts";
import { method as mgda } from "../../../../src/train/methods/gradient-rules/mgda.ts";
import { guidedWeights, method as pareto } from "../../../../src/train/methods/gradient-rules/pareto.ts";
import { meetingOrder, method as pcgrad } from "../../../../src/train/methods/gradient-rules/pcgrad.ts";
import { method as sam } from "../../../../src/train/methods/gradient-rules/sam.ts";
import { covers } from "../../../support/covers.ts";
import { sharedGpu } from "../../../support/gpu.ts";
import { normals } from "../../../support/random.ts";
import { COUNT, left, product, SIZES } from "./known-gradients.ts";

covers("training/pcgrad-weights");

const gpu = await sharedGpu();
const NAMES = ["one", "two", "three", "four", "five"];
/** Gradients with a common part that is against the first. */
const gradients = NAMES.map((_, i) => {
  const [own, common] = [normals(10 + i, COUNT, 1 + i), normals(99, COUNT)];
  return own.map((value, k) => value + (i === 0 ? 1 : -0.6) * common[k]!);
});
const of = (part: string) => gradients[NAMES.indexOf(part)]!;
const run = (
  method: GradientRule,
  groups: readonly string[],
  more: { given?: object; step?: number; isShared?: (name: string) => boolean } = {},
) =>
  left(
    (parameters) =>
      method.rule!({
        ...{ gpu, parameters, values: bindDefaults(method, { ...more.given }).values, seed: 3, groups },
        isShared: more.isShared,
      }),
    { groups, gradient: of, step: more.step ?? 1 },
  );
const isNear = (found: Float32Array, expected: Float64Array | Float32Array, share = 1e-5) => {
  const wanted = Float64Array.from(expected);
  const most = wanted.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
  for (const [i, value] of wanted.entries()) expect(Math.abs(found[i]! - value)).toBeLessThan(share * most);
};

/** Algorithm 1 on whole gradients. */
function surgery(groups: readonly string[], step: number): Float64Array {
  const all = groups.map((group) => Float64Array.from(of(group)));
  const inner = (a: Float64Array, b: Float64Array) => a.reduce((sum, value, i) => sum + value * b[i]!, 0);
  const mean = new Float64Array(COUNT);
  for (const [i, own] of all.entries()) {
    const left = Float64Array.from(own);
    for (const j of meetingOrder(3, step, groups, i)) {
      if (j === i) continue;
      const share = Math.min(0, inner(left, all[j]!)) / inner(all[j]!, all[j]!);
      for (const [k, value] of all[j]!.entries()) left[k]! -= share * value;
    }
    for (const [k, value] of left.entries()) mean[k]! += value / all.length;
  }
  return mean;
}

describe("pcgrad", () => {
  test.each([2, 3, 5])("%i groups are as the algorithm leaves whole gradients in f64", async (count) => {
    const groups = NAMES.slice(0, count);
    for (const step of [1, 2]) isNear((await run(pcgrad, groups, { step })).gradient, surgery(groups, step));
  });

  test("by hand: two gradients at 135 degrees", async () => {
    const at = (x: number, y: number) => Float32Array.from({ length: COUNT }, (_, i) => [x, y][i] ?? 0);
    const by: Record<string, Float32Array> = { one: at(2, 0), two: at(-1, 1) };
    const { gradient } = await left(
      (parameters) =>
        pcgrad.rule!({ gpu, parameters, values: {}, seed: 0, groups: ["one", "two"], isShared: undefined }),
      { groups: ["one", "two"], gradient: (part) => by[part]! },
    );
    // (2, 0) + (-1, 1) = (1, 1); (-1, 1) + (2, 0) / 2 = (0, 1); the mean.
    expect([...gradient.slice(0, 3)]).toEqual([0.5, 1, 0]);
  });

  test("orders are permutations that differ between steps and groups", () => {
    const orders = [1, 2, 3].flatMap((step) => NAMES.map((_, i) => meetingOrder(0, step, NAMES, i)));
    for (const order of orders) expect([...order].sort()).toEqual([0, 1, 2, 3, 4]);
    expect(new Set(orders.map(String)).size).toBeGreaterThan(10);
  });
});

describe("weights of a linear program", () => {
  test("mgda and pareto are those of the host's products", async () => {
    const groups = NAMES.slice(0, 3);
    const all = groups.map((group) => Float64Array.from(of(group)));
    isNear(
      (await run(pareto, groups)).gradient,
      paretoGradient(all).gradient.map((value) => value / 3),
      1e-4,
    );
    const gram = all.map((a) => all.map((b) => a.reduce((sum, value, i) => sum + value * b[i]!, 0)));
    const w = shortestWeights(gram);
    const wanted = new Float64Array(COUNT).map((_, i) => all.reduce((sum, g, j) => sum + w[j]! * g[i]!, 0));
    isNear((await run(mgda, groups)).gradient, wanted, 1e-4);
  });

  test("no other point of the hull is shorter, and all objectives fall along the shortest", () => {
    for (let seed = 0; seed < 20; seed++) {
      const own = Array.from({ length: 4 }, (_, j) => normals(50 * seed + j, 5).map((x) => x * 3 ** (j - 1)));
      const gram = own.map((a) => own.map((b) => product(a, b)));
      const w = shortestWeights(gram);
      const through = gram.map((row) => row.reduce((sum, value, i) => sum + value * w[i]!, 0));
      const square = w.reduce((sum, value, i) => sum + value * through[i]!, 0);
      expect(w.reduce((a, b) => a + b)).toBeCloseTo(1, 9);
      // Of a convex problem: no corner is better to go to.
      for (const value of through) expect(value).toBeGreaterThanOrEqual(square - 1e-6 * Math.max(...gram.flat()));
    }
    expect(shortestWeights([[0]])).toEqual([1]);
    expect(
      shortestWeights([
        [4, 4],
        [4, 4],
      ]).reduce((a, b) => a + b),
    ).toBeCloseTo(1, 12);
  });

  test("where no weights suit the guide they are those of the shortest vector", () => {
    // Both against the guide, and each other: neither may lose, which opposite gradients cannot.
    const gram = [
      [1, -1.0001],
      [-1.0001, 1],
    ];
    expect(paretoWeights(gram, [-1, -2])).toEqual(shortestWeights(gram));
  });

  test("a guide has no weight, and alone in a step nothing is learnt", async () => {
    const gram = [
      [1, -0.5, 0.2],
      [-0.5, 1, 0.4],
      [0.2, 0.4, 1],
    ];
    const [first, guide, third] = guidedWeights(gram, ["a", "g", "b"], "g");
    expect(guide).toBe(0);
    expect([first, third]).toEqual(
      paretoWeights(
        [
          [1, 0.2],
          [0.2, 1],
        ],
        [-0.5, 0.4],
      ),
    );
    expect(guidedWeights(gram, ["a", "b", "c"], "g")).toEqual(paretoWeights(gram));
    const given = { pareto_guide: "one" };
    expect(new Set((await run(pareto, ["one"], { given })).gradient)).toEqual(new Set([0]));
  });
});

describe("cagrad", () => {
  const gramOf = (own: readonly Float32Array[]) => own.map((a) => own.map((b) => product(a, b)));
  /** <g_j, d> of every group, for d of these weights. */
  const rates = (gram: readonly (readonly number[])[], w: readonly number[]) =>
    gram.map((row) => row.reduce((sum, value, i) => sum + value * w[i]!, 0));

  test("no other direction in the ball about the mean does more for the loss that falls least", () => {
    for (let seed = 0; seed < 10; seed++) {
      const own = Array.from({ length: 3 }, (_, j) => normals(400 + 50 * seed + j, 4).map((x) => x * 2 ** j));
      const gram = gramOf(own);
      const [c, even] = [0.4, [1 / 3, 1 / 3, 1 / 3]];
      const w = averseWeights(gram, c);
      const worst = Math.min(...rates(gram, w));
      const mean = Math.sqrt(even.reduce((sum, share, i) => sum + share * rates(gram, even)[i]!, 0));
      const apart = w.map((share, i) => share - even[i]!);
      const distance = Math.sqrt(apart.reduce((sum, share, i) => sum + share * rates(gram, apart)[i]!, 0));
      expect(distance).toBeCloseTo(c * mean, 5);
      expect(worst).toBeGreaterThanOrEqual(Math.min(...rates(gram, even)));
      // Others of the ball, drawn among combinations of the gradients.
      for (let k = 0; k < 300; k++) {
        const drawn = [...normals(9000 + 1000 * seed + k, 3)];
        const length = Math.sqrt(drawn.reduce((sum, share, i) => sum + share * rates(gram, drawn)[i]!, 0));
        const other = drawn.map((share, i) => even[i]! + (c * mean * share) / length);
        expect(Math.min(...rates(gram, other))).toBeLessThanOrEqual(worst + 1e-4 * mean ** 2);
      }
    }
  });

  test("with c of 0, or gradients of 0, it is the mean; on the GPU it is that of the products", async () => {
    const gram = gramOf([of("one"), of("two")]);
    expect(averseWeights(gram, 0)).toEqual([0.5, 0.5]);
    expect(
      averseWeights(
        [
          [0, 0],
          [0, 0],
        ],
        0.5,
      ),
    ).toEqual([0.5, 0.5]);
    const [a, b] = averseWeights(gram, 0.4);
    const wanted = of("one").map((value, i) => a! * value + b! * of("two")[i]!);
    isNear((await run(cagrad, ["one", "two"])).gradient, wanted, 1e-4);
  });

  test("the nearest mixture", () => {
    expect(nearestMixture([0.2, 0.3, 0.5])).toEqual([0.2, 0.3, 0.5]);
    expect(nearestMixture([5, 0, 0])).toEqual([1, 0, 0]);
    expect(nearestMixture([1, 1, -3])).toEqual([0.5, 0.5, 0]);
  });
});

test("weights that are not shared take the mean, and have no part in the products", async () => {
  const groups = ["one", "two"];
  const head = SIZES[0]! + SIZES[1]!;
  const { gradient } = await run(mgda, groups, { isShared: (name) => name !== "w0" && name !== "w1" });
  const mean = of("one").map((value, i) => (value + of("two")[i]!) / 2);
  isNear(gradient.slice(0, head), mean.slice(0, head));
  const body = groups.map((group) => of(group).slice(head));
  const w = shortestWeights(body.map((a) => body.map((b) => product(a, b))));
  isNear(
    gradient.slice(head),
    body[0]!.map((value, i) => w[0]! * value + w[1]! * body[1]![i]!),
    1e-4,
  );
});

describe("a sharper place", () => {
  const start = normals(7, COUNT);
  const slope = (w: Float32Array) => w.map((x, i) => Math.sin(x) + (i % 3) * x);
  const at = (method: GradientRule, given: object) =>
    left(
      (parameters) =>
        method.rule!({
          gpu,
          parameters,
          values: bindDefaults(method, { ...given }).values,
          seed: 0,
          groups: [],
          isShared: undefined,
        }),
      { groups: [""], gradient: (_, w) => slope(w), start },
    );

  test("sam: at theta + rho g / |g|", async () => {
    const g = slope(start);
    const length = Math.sqrt(product(g, g));
    const wanted = slope(start.map((w, i) => w + (2 * g[i]!) / length));
    isNear((await at(sam, { sam_rho: 2 })).gradient, wanted);
  });

  test("asam: at theta + rho t^2 g / |t g|, t = |theta| + eta", async () => {
    const t = start.map((w) => Math.abs(w) + 0.1);
    const tg = slope(start).map((g, i) => g * t[i]!);
    const length = Math.sqrt(product(tg, tg));
    const wanted = slope(start.map((w, i) => w + (3 * t[i]! * tg[i]!) / length));
    isNear((await at(asam, { asam_rho: 3, asam_eta: 0.1 })).gradient, wanted);
  });
});
