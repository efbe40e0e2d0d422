/** Small networks and the heads of policies: gradients by differences, and distributions by drawing from them. */
import { describe, expect, test } from "bun:test";
import { Random } from "../../../src/data/random.ts";
import type { Head } from "../../../src/run/small-nets/head.ts";
import { headOf } from "../../../src/run/small-nets/head-of.ts";
import { activeShare, Mlp } from "../../../src/run/small-nets/mlp.ts";
import { type Care, Trained } from "../../../src/run/small-nets/trained.ts";

const H = 1e-5;

/** (f(x + h) - f(x - h)) / 2h for each value. */
const differences = (x: Float64Array, f: (x: Float64Array) => number): number[] =>
  Array.from(x, (_, i) => {
    const [up, down] = [1, -1].map((sign) => f(x.map((value, j) => (i === j ? value + sign * H : value))));
    return (up! - down!) / (2 * H);
  });

const drawn = (count: number, ...key: (string | number)[]) => {
  const random = new Random(...key);
  return Float64Array.from({ length: count }, () => random.normal());
};

function expectClose(found: ArrayLike<number>, wanted: readonly number[]) {
  expect(found.length).toBe(wanted.length);
  for (const [i, x] of wanted.entries()) expect(Math.abs(found[i]! - x)).toBeLessThan(1e-6 * Math.max(1, Math.abs(x)));
}

test.each([false, true])("a network's gradients are those of differences, to weights and inputs: norm %p", (norm) => {
  const net = Mlp.fresh([3, 5, 4, 2], new Random("mlp"), 1, { norm });
  const x = drawn(2 * 3, "x");
  const factors = drawn(2 * 2, "factors");
  const loss = (own: Mlp, input: Float64Array) => own.output(input, 2).reduce((sum, y, i) => sum + factors[i]! * y, 0);
  const into = new Float64Array(net.weights.length);
  const inputs = net.backward(net.forward(x, 2), factors, into);
  expectClose(
    inputs,
    differences(x, (input) => loss(net, input)),
  );
  const moved = net.copy();
  expectClose(
    into,
    differences(net.weights, (weights) => {
      moved.weights.set(weights);
      return loss(moved, x);
    }),
  );
});

test("half of the units of a fresh layer are active on inputs around 0", () => {
  const net = Mlp.fresh([16, 256, 1], new Random("active"));
  expect(activeShare(net.forward(drawn(64 * 16, "inputs"), 64))).toBeCloseTo(0.5, 1);
});

test("layer norm makes a layer's units the same for inputs of any size", () => {
  const net = Mlp.fresh([6, 8, 3], new Random("norm"), 1, { norm: true });
  const x = drawn(6, "x");
  const far = net.output(
    x.map((value) => 1000 * value),
    1,
  );
  for (const [i, y] of net.output(x, 1).entries()) expect(Math.abs(far[i]! - y)).toBeLessThan(1e-4);
  const names = net.tensors("n").map(({ name, shape }) => [name, shape]);
  expect(names[2]).toEqual(["n.0.gain", [8]]);
  expect(names.length).toBe(5);
});

test("resets draw the last layers anew when they are due, decay goes back, and neither is there unasked", () => {
  const make = (care: Care) => new Trained({ sizes: [4, 5, 2], lr: 0.01, care }, 7, "net");
  const x = drawn(3 * 4, "rows");
  const run = (trained: Trained, steps: number) =>
    Array.from({ length: steps }, () => trained.descend(trained.net.forward(x, 3), drawn(3 * 2, "slopes")));
  const [plain, reset] = [make({}), make({ reset_every: 4, reset_layers: 1 })];
  expect(run(plain, 4)).toEqual([false, false, false, false]);
  expect(run(reset, 4)).toEqual([false, false, false, true]);
  const [own, other] = [plain.net, reset.net].map((net) => net.tensors("n").map(({ values }) => [...values]));
  expect(other!.slice(0, 2)).toEqual(own!.slice(0, 2));
  expect(other![2]!.filter((value, i) => value === own![2]![i])).toEqual([]);
  expect(other![3]).toEqual([0, 0]);
  const first = make({}).net.weights;
  const gap = ({ net }: Trained) => net.weights.reduce((sum, w, i) => sum + Math.abs(w - first[i]!), 0);
  const pulled = make({ decay_to_init: 0.5 });
  run(pulled, 4);
  expect(gap(pulled)).toBeLessThan(0.5 * gap(plain));
});

const heads: [string, Head, Float64Array, Float64Array, number | number[]][] = [
  ["categorical", headOf({ count: 4 }), drawn(4, "out"), drawn(4, "other"), 2],
  ["squashed Gaussian", headOf({ dims: 2, bound: 3 }), drawn(4, "out", 1), drawn(4, "other", 1), [1.2, -2]],
];

describe.each(heads)("%s", (_, head, out, other, action) => {
  test("gradients of log-probability, entropy and divergence are those of differences", () => {
    const into = [0, 1, 2].map(() => new Float64Array(out.length));
    head.addLogGradient(out, action, 2, into[0]!);
    head.addEntropyGradient(out, 2, into[1]!);
    head.addDivergenceGradient(out, other, 2, into[2]!);
    const of = [
      (x: Float64Array) => 2 * head.logProbability(x, action),
      (x: Float64Array) => 2 * head.entropy(x),
      (x: Float64Array) => 2 * head.divergence(x, other),
    ];
    for (const [i, f] of of.entries()) expectClose(into[i]!, differences(out, f));
    expect(head.divergence(out, out)).toBeCloseTo(0, 12);
    expect(head.divergence(out, other)).toBeGreaterThan(0);
  });

  test("what a critic expects has the gradient of differences, with the same draw", () => {
    const factors = drawn(head.width, "critic");
    const critic = (actions: Float64Array, count: number) => {
      const gradients = new Float64Array(actions.length);
      const values = Float64Array.from({ length: count }, (_, row) =>
        factors.reduce((sum, x, i) => {
          const a = actions[row * head.width + i]!;
          gradients[row * head.width + i] = x + 2 * a;
          return sum + x * a + a * a;
        }, 0),
      );
      return { values, gradients };
    };
    const value = (x: Float64Array) => head.expected(x, critic, new Random("draw")).value;
    expectClose(head.expected(out, critic, new Random("draw")).gradient, differences(out, value));
  });
});

test("a squashed Gaussian's density integrates to 1, and its draws have its mean", () => {
  const head = headOf({ dims: 1, bound: 2 });
  const out = Float64Array.of(0.3, -0.5);
  let [total, mean] = [0, 0];
  for (let a = -1.9975; a < 2; a += 0.005) {
    const share = 0.005 * Math.exp(head.logProbability(out, [a]));
    total += share;
    mean += share * a;
  }
  expect(total).toBeCloseTo(1, 3);
  const random = new Random("draws");
  const draws = Array.from({ length: 20_000 }, () => (head.sample(out, random) as number[])[0]!);
  expect(draws.reduce((sum, x) => sum + x, 0) / draws.length).toBeCloseTo(mean, 1.5);
});

test("a categorical head draws actions as often as it says", () => {
  const head = headOf({ count: 3 });
  const out = Float64Array.of(0.5, -1, 0);
  const random = new Random("draws");
  const counts = [0, 0, 0];
  for (let i = 0; i < 20_000; i++) counts[head.sample(out, random) as number]!++;
  for (const [action, count] of counts.entries())
    expect(count / 20_000).toBeCloseTo(Math.exp(head.logProbability(out, action)), 1.5);
});
