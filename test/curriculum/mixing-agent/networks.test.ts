/** Networks over groups: gradients by differences, and no order of groups. */
import { expect, test } from "bun:test";
import {
  criticBack,
  criticPass,
  freshCritic,
  freshPolicy,
  noGradients,
  policyBack,
  policyPass,
  type SetNet,
  sharesFrom,
  throughSoftmax,
} from "../../../src/curriculum/mixing-agent/networks.ts";
import { Random } from "../../../src/data/random.ts";

const [SETS, K, F] = [2, 3, 4];
const random = new Random(7, "networks");
const numbers = (count: number) => Float64Array.from({ length: count }, () => random.normal());
const features = numbers(SETS * K * F);
const dot = (a: Float64Array, b: Float64Array) => a.reduce((sum, x, i) => sum + x * b[i]!, 0);

/** Slope of a function along every third number of an array, by central differences. */
function slopes(values: Float64Array, of: () => number): [number, number][] {
  return [...values.keys()]
    .filter((i) => i % 3 === 0)
    .map((i) => {
      const [before, step] = [values[i]!, 1e-6];
      values[i] = before + step;
      const up = of();
      values[i] = before - step;
      const down = of();
      values[i] = before;
      return [i, (up - down) / (2 * step)];
    });
}

function expectSlopes(net: SetNet, into: { encoder: Float64Array; head: Float64Array }, of: () => number): void {
  for (const part of ["encoder", "head"] as const)
    for (const [i, slope] of slopes(net[part].weights, of)) expect(into[part][i]!).toBeCloseTo(slope, 6);
}

test("the policy's gradients, through the softmax too", () => {
  const net = freshPolicy(F, 5, random);
  const wanted = numbers(SETS * K);
  const of = () => dot(sharesFrom(policyPass(net, features, SETS, K).out, K), wanted);
  const pass = policyPass(net, features, SETS, K);
  const into = noGradients(net);
  policyBack(net, pass, throughSoftmax(sharesFrom(pass.out, K), wanted, K), into);
  expectSlopes(net, into, of);
});

test("the critic's gradients, by weights and by shares", () => {
  const net = freshCritic(F, 5, random);
  const shares = sharesFrom(numbers(SETS * K), K);
  const wanted = numbers(SETS);
  const of = () => dot(criticPass(net, { features, shares }, SETS).out, wanted);
  const into = noGradients(net);
  const byShares = criticBack(net, criticPass(net, { features, shares }, SETS), wanted, into);
  expectSlopes(net, into, of);
  for (const [i, slope] of slopes(shares, of)) expect(byShares[i]!).toBeCloseTo(slope, 6);
});

test("groups in another order get the same shares and the same value, and any number of them is read", () => {
  const policy = freshPolicy(F, 5, random);
  const critic = freshCritic(F, 5, random);
  const one = features.slice(0, K * F);
  const turned = Float64Array.from(one, (_, i) => one[(K - 1 - Math.floor(i / F)) * F + (i % F)]!);
  const shares = sharesFrom(policyPass(policy, one, 1, K).out, K);
  const other = sharesFrom(policyPass(policy, turned, 1, K).out, K);
  for (const [k, share] of shares.entries()) expect(other[K - 1 - k]!).toBeCloseTo(share, 12);
  const value = criticPass(critic, { features: one, shares }, 1).out[0]!;
  expect(criticPass(critic, { features: turned, shares: other }, 1).out[0]!).toBeCloseTo(value, 12);
  expect(policyPass(policy, features.slice(0, 2 * F), 1, 2).out).toHaveLength(2);
});
