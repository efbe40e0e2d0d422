/** The laws that gradient rules claim, on gradients over parameters of odd sizes, each under its defaults. */
import { describe, expect, test } from "bun:test";
import { bindDefaults } from "../../src/method/bind.ts";
import { claimed } from "../../src/method/laws.ts";
import { loadMethods } from "../../src/method/registry.ts";
import { GRADIENT_RULE_LAWS, type GradientRule, type GradientRuleLaw } from "../../src/run/training/gradient-rule.ts";
import { COUNT, left, product } from "../run/training/rules/known-gradients.ts";
import { sharedGpu } from "../support/gpu.ts";
import { normals } from "../support/random.ts";

const gpu = await sharedGpu();
const [A, B, C] = [normals(1, COUNT), normals(2, COUNT, 3), normals(3, COUNT, 0.5)];
/** Three gradients of which each two are in conflict, of lengths that differ. */
const CONFLICT: Readonly<Record<string, Float32Array>> = {
  a: A,
  b: B.map((value, i) => value - 0.8 * A[i]!),
  c: C.map((value, i) => value - 0.1 * B[i]! - 0.3 * A[i]!),
};

const ruleOf = (method: GradientRule, groups: readonly string[], given: Readonly<Record<string, unknown>> = {}) => {
  const { values } = bindDefaults(method, given);
  return (parameters: Parameters<NonNullable<GradientRule["rule"]>>[0]["parameters"]) =>
    method.rule!({ gpu, parameters, values, seed: 5, groups, isShared: undefined });
};
const combined = (method: GradientRule, groups: readonly string[], gradients = CONFLICT) =>
  left(ruleOf(method, groups), { groups, gradient: (part) => gradients[part]! });
/** Along a path: a gradient that depends on where the weights are. */
const along = (method: GradientRule, given: Readonly<Record<string, unknown>> = {}) =>
  left(ruleOf(method, ["a"], given), {
    groups: ["a"],
    start: A,
    gradient: (_, weights) => weights.map((w, i) => w * B[i]! + C[i]!),
  });
const isNear = (a: Float32Array, b: Float32Array, share: number) => {
  const most = a.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
  for (const [i, value] of a.entries()) expect(Math.abs(b[i]! - value)).toBeLessThan(share * most);
};

const TESTS: Record<GradientRuleLaw, (method: GradientRule) => Promise<void>> = {
  async oneGroup(method) {
    const { gradient, passes } = await combined(method, ["b"]);
    expect(gradient).toEqual(CONFLICT.b!);
    expect(passes).toEqual(["b"]);
  },
  async descends(method) {
    const { gradient } = await combined(method, ["a", "b", "c"]);
    const own = Math.sqrt(product(gradient, gradient));
    for (const g of Object.values(CONFLICT))
      expect(product(g, gradient) / Math.sqrt(product(g, g)) / own).toBeGreaterThan(-1e-6);
  },
  async twice(method) {
    const once = await combined(method, ["a", "b"]);
    const again = await combined(method, ["a", "b", "c"], { ...CONFLICT, c: CONFLICT.b! });
    isNear(once.gradient, again.gradient, 1e-4);
  },
  async scales(method) {
    const ten = Object.fromEntries(Object.entries(CONFLICT).map(([name, g]) => [name, g.map((x) => 10 * x)]));
    const [one, larger] = [await combined(method, ["a", "b", "c"]), await combined(method, ["a", "b", "c"], ten)];
    isNear(
      one.gradient.map((value) => 10 * value),
      larger.gradient,
      1e-4,
    );
  },
  async plainAtZero(method) {
    const radius = Object.keys(method.options).find((name) => name.endsWith("_rho"))!;
    const { gradient, passes } = await along(method, { [radius]: 0 });
    expect(gradient).toEqual(A.map((w, i) => w * B[i]! + C[i]!));
    expect(passes.length).toBe(1);
  },
  async weightsReturn(method) {
    const { weights, reports, gradient } = await along(method);
    expect(weights).toEqual(A);
    expect(reports).toBe(1);
    expect(gradient).not.toEqual(A.map((w, i) => w * B[i]! + C[i]!));
  },
  async sameForSeed(method) {
    const run = () => (method.groups ? combined(method, ["a", "b", "c"]) : along(method));
    expect((await run()).gradient).toEqual((await run()).gradient);
  },
};

describe.each((await loadMethods("gradient-rule")).map((method) => [method.name, method] as const))(
  "%s",
  (_, method) => {
    test.each(claimed(method.laws).map((law) => [GRADIENT_RULE_LAWS[law], law] as const))("%s", async (_, law) => {
      await TESTS[law](method);
    });
  },
);
