/** Advantages of PPO against sums written out, its value loss, and the weight of the divergence that adapts. */
import { expect, test } from "bun:test";
import { method as ppo } from "../../../src/align/methods/policies/ppo.ts";
import { adaptedWeight } from "../../../src/align/policies/rollout-source.ts";
import { bindDefaults } from "../../../src/method/bind.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { checkOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";

const rewards = Float64Array.of(1, -0.5);
const lengths = [4, 2];
const estimates = [Float64Array.of(0.3, -0.2, 0.8, 0.1), Float64Array.of(-0.4, 0.6)];
const penalties = [Float64Array.of(0.01, 0.02, -0.03, 0.04), Float64Array.of(0.1, 0)];

const advantagesOf = (settings: Readonly<Record<string, number>>, paid?: readonly Float64Array[]) =>
  ppo.advantages!({
    ...{
      rewards,
      lengths,
      truncated: [false, false],
      entropies: undefined,
      measured: undefined,
      modes: undefined,
      estimates,
      penalties: paid,
      group: 1,
      greedy: undefined,
      terms: [[1], [-0.5]],
      weights: [1],
    },
    values: bindDefaults(ppo, settings).values,
  }) as Float64Array[];

test("without discounts an advantage is the return less what was foretold", () => {
  const found = advantagesOf({ gae_lambda: 1, gamma: 1 });
  for (const [row, own] of found.entries())
    for (const [t, advantage] of own.entries()) expect(advantage).toBeCloseTo(rewards[row]! - estimates[row]![t]!, 12);
});

test("advantages are discounted sums of the head's errors, of which every token pays its divergence", () => {
  const [gamma, lambda] = [0.9, 0.7];
  const found = advantagesOf({ gae_lambda: lambda, gamma }, penalties);
  for (const [row, own] of found.entries()) {
    const errors = Array.from({ length: lengths[row]! }, (_, t) => {
      const isLast = t === lengths[row]! - 1;
      const reward = (isLast ? rewards[row]! : 0) - penalties[row]![t]!;
      return reward + gamma * (isLast ? 0 : estimates[row]![t + 1]!) - estimates[row]![t]!;
    });
    for (const [t, advantage] of own.entries()) {
      const sum = errors.slice(t).reduce((all, error, l) => all + (gamma * lambda) ** l * error, 0);
      expect(advantage).toBeCloseTo(sum, 12);
    }
  }
});

test("the loss of the head is the larger of the free and the clipped square, halved", async () => {
  const shape = [3, 5];
  const values = bindDefaults(ppo, { value_weight: 0.4, value_clip: 0.3 }).values;
  await checkOp(await sharedGpu(), "value loss", {
    inputs: {
      estimates: { shape, data: normals(1, 15) },
      old: { shape, data: normals(2, 15), grad: false },
      returns: { shape, data: normals(3, 15), grad: false },
    },
    build: (rec, x) => ppo.value!(rec, { estimates: x.estimates!, old: x.old!, returns: x.returns!, values }),
    reference: ({ estimates, old, returns }) =>
      estimates!.map((v, i) => {
        const near = old![i]! + Math.min(0.3, Math.max(-0.3, v - old![i]!));
        return 0.4 * 0.5 * Math.max((v - returns![i]!) ** 2, (near - returns![i]!) ** 2);
      }),
  });
});

test("the weight of the divergence follows its error, of which a fifth counts at most", () => {
  expect(adaptedWeight(0.1, 6, 100, 6, 1000)).toBe(0.1);
  expect(adaptedWeight(0.1, 6.6, 100, 6, 1000)).toBeCloseTo(0.1 * (1 + 0.1 * 0.1), 12);
  expect(adaptedWeight(0.1, 600, 100, 6, 1000)).toBeCloseTo(0.1 * 1.02, 12);
  expect(adaptedWeight(0.1, 0, 100, 6, 1000)).toBeCloseTo(0.1 * 0.98, 12);
});
