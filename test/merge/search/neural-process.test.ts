import { expect, test } from "bun:test";
import { Random } from "../../../src/data/random.ts";
import { type History, NeuralProcess } from "../../../src/merge/search/neural-process.ts";

const random = new Random("neural process");
const normals = (count: number, size = 1) => Float64Array.from({ length: count }, () => size * random.normal());

/** A network of two coordinates whose parameters are all moved from where they begin. */
function network(): { net: NeuralProcess; theta: Float64Array } {
  const net = new NeuralProcess(2);
  const theta = net.fresh(random).map((value) => value + 0.1 * random.normal());
  return { net, theta };
}

const history = (n: number): History => ({ points: normals(2 * n, 0.5), values: normals(n), left: 0.4 });

test("the gradient is that of differences, for every parameter", () => {
  const { net, theta } = network();
  const past = history(5);
  const queries = normals(6, 0.5);
  const cotangents = { mean: normals(3), logStd: normals(3), acquisition: normals(3) };
  const value = (at: Float64Array): number => {
    const pass = net.forward(at, past, queries);
    let sum = 0;
    for (const name of ["mean", "logStd", "acquisition"] as const)
      for (let q = 0; q < 3; q++) sum += pass[name][q]! * cotangents[name][q]!;
    return sum;
  };
  const gradient = new Float64Array(net.size);
  net.backward(theta, net.forward(theta, past, queries), cotangents, gradient);
  for (let i = 0; i < net.size; i++) {
    const [low, high] = [theta.slice(), theta.slice()];
    low[i]! -= 1e-5;
    high[i]! += 1e-5;
    const difference = (value(high) - value(low)) / 2e-5;
    expect(Math.abs(gradient[i]! - difference)).toBeLessThan(1e-6 * (1 + Math.abs(difference)));
  }
});

test("the order of the history changes nothing", () => {
  const { net, theta } = network();
  const past = history(9);
  const queries = normals(20, 0.5);
  const order = random.shuffled([0, 1, 2, 3, 4, 5, 6, 7, 8]);
  const other = {
    points: Float64Array.from(order.flatMap((i) => [past.points[2 * i]!, past.points[2 * i + 1]!])),
    values: Float64Array.from(order, (i) => past.values[i]!),
    left: past.left,
  };
  expect(order).not.toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
  const [one, two] = [net.forward(theta, past, queries), net.forward(theta, other, queries)];
  for (const name of ["mean", "logStd", "acquisition"] as const)
    for (let q = 0; q < 10; q++) expect(Math.abs(one[name][q]! - two[name][q]!)).toBeLessThan(1e-12);
});

test("queries do not see each other", () => {
  const { net, theta } = network();
  const past = history(4);
  const queries = normals(8, 0.5);
  const all = net.forward(theta, past, queries);
  for (let q = 0; q < 4; q++) {
    const one = net.forward(theta, past, queries.slice(2 * q, 2 * q + 2));
    expect(one.acquisition[0]!).toBe(all.acquisition[q]!);
    expect(one.mean[0]!).toBe(all.mean[q]!);
  }
});

test("a fresh network is a kernel regression: near a point its value, far from all 0", () => {
  const net = new NeuralProcess(1);
  const theta = net.fresh(random);
  const past = { points: Float64Array.of(0.1, 0.9), values: Float64Array.of(-1, 1), left: 0.5 };
  const { mean } = net.forward(theta, past, Float64Array.of(0.1, 0.9, 40));
  expect(mean[0]!).toBeLessThan(-0.4);
  expect(mean[1]!).toBeGreaterThan(0.4);
  expect(mean[1]! - mean[0]!).toBeGreaterThan(1);
});
