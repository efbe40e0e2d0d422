/** Small networks and the heads of policies: gradients by differences, and distributions by drawing from them. */
import { describe, expect, test } from "bun:test";
import { Random } from "../../../src/data/random.ts";
import type { Head } from "../../../src/run/small-nets/head.ts";
import { headOf } from "../../../src/run/small-nets/head-of.ts";
import { activeShare, Mlp } from "../../../src/run/small-nets/mlp.ts";

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

test("a network's gradients are those of differences, to weights and inputs", () => {
  const net = Mlp.fresh([3, 5, 4, 2], new Random("mlp"));
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
