/** The laws that policy-gradient methods claim, of the loss of tokens and of the advantages. */
import { describe, expect, test } from "bun:test";
import { finished, groupRelative, weightedSums } from "../../src/align/policies/advantages.ts";
import {
  type Advantages,
  POLICY_LAWS,
  type PolicyLaw,
  type PolicyMethod,
  type Rewarded,
} from "../../src/align/policies/contract.ts";
import { bindDefaults } from "../../src/method/bind.ts";
import { claimed } from "../../src/method/laws.ts";
import { loadMethods } from "../../src/method/registry.ts";
import { tokenLoss } from "../align/policies/token-loss.ts";
import { randomUnits } from "../support/random.ts";

const methods = (await loadMethods("align")).filter((method) => method.kind === "policy") as PolicyMethod[];
const [ROWS, TOKENS, GROUP] = [6, 5, 3];
/** One for each answer: both signs, and no two alike. */
const ADVANTAGES = [1, -0.5, 2, -1.5, 0.7, -2.5];

/** Gradients of the loss at log-ratios that are alike for all tokens of an answer, row by row. */
async function gradientsAt(method: PolicyMethod, logRatios: readonly number[], fresh = false): Promise<number[][]> {
  const logProbs = Float32Array.from({ length: ROWS * TOKENS }, (_, i) => -0.3 - 0.1 * (i % 7));
  const { gradient } = await tokenLoss(bindDefaults(method), {
    rows: ROWS,
    logProbs,
    // The model as it was is the same.
    reference: logProbs,
    ...(fresh ? {} : { old: logProbs.map((p, i) => p - logRatios[Math.floor(i / TOKENS)]!) }),
    advantages: ADVANTAGES,
  });
  return Array.from({ length: ROWS }, (_, row) => [...gradient.subarray(row * TOKENS, (row + 1) * TOKENS)]);
}

/** Advantages of rewards, in groups; `greedy` is that of every prompt. */
function advantagesOf(method: PolicyMethod, rewards: readonly number[], greedy = 0.5): number[] {
  const { values } = bindDefaults(method, {
    group: GROUP,
    // Some answers are right, and some are not.
    ...("success" in method.options ? { success: 0.5 } : {}),
  });
  const scored = { terms: rewards.map((reward) => [reward]), weights: [1] };
  const given: Rewarded<never> = {
    ...{ ...scored, rewards: weightedSums(scored), group: GROUP, values },
    lengths: rewards.map((_, i) => 1 + (i % 3)),
    truncated: rewards.map(() => false),
    measured: undefined,
    modes: rewards.map((_, i) => i % 2),
    entropies: rewards.map((_, i) => new Float64Array(1 + (i % 3)).fill(0.5)),
    penalties: undefined,
    estimates: rewards.map((_, i) => new Float64Array(1 + (i % 3)).fill(0.25)),
    greedy: new Float64Array(rewards.length / GROUP).fill(greedy),
  };
  const raw: Advantages = method.advantages?.(given) ?? [...groupRelative(given)];
  return finished(raw, values).flatMap((own) => (typeof own === "number" ? [own] : [...own]));
}

const unit = randomUnits(5);
const REWARDS = Array.from({ length: 4 * GROUP }, () => Math.round(100 * unit()) / 100);

const laws: Readonly<Record<PolicyLaw, (method: PolicyMethod) => void | Promise<void>>> = {
  async policyGradient(method) {
    const rows = await gradientsAt(method, [0, 0, 0, 0, 0, 0], true);
    for (const [row, gradient] of rows.entries()) {
      const weight = -gradient[0]! / ADVANTAGES[row]!;
      expect(weight).toBeGreaterThan(1e-4);
      for (const g of gradient) expect(g).toBeCloseTo(-weight * ADVANTAGES[row]!, 6);
    }
  },

  async clipped(method) {
    const left = ADVANTAGES.map((advantage) => Math.sign(advantage) * 1.8);
    for (const gradient of await gradientsAt(method, left)) expect(gradient.filter((g) => g !== 0)).toEqual([]);
    const back = await gradientsAt(
      method,
      left.map((ratio) => -ratio),
    );
    for (const [row, gradient] of back.entries())
      for (const g of gradient) expect(-g * ADVANTAGES[row]!).toBeGreaterThan(1e-7);
  },

  zeroSum(method) {
    const advantages = advantagesOf(method, REWARDS);
    const large = advantages.filter((advantage) => Math.abs(advantage) > 0.01);
    expect(large.length).toBeGreaterThan(advantages.length / 3);
    for (let from = 0; from < advantages.length; from += GROUP) {
      const own = advantages.slice(from, from + GROUP);
      expect(Math.abs(own.reduce((a, b) => a + b, 0))).toBeLessThan(1e-9);
    }
  },

  equalRewards(method) {
    const rewards = REWARDS.map((reward, i) => (i < GROUP ? 0.7 : reward));
    expect(advantagesOf(method, rewards).slice(0, GROUP)).toEqual(Array(GROUP).fill(0));
  },

  shiftFree(method) {
    const shifted = advantagesOf(
      method,
      REWARDS.map((reward) => reward + 3),
      3.5,
    );
    for (const [i, advantage] of advantagesOf(method, REWARDS).entries()) expect(shifted[i]).toBeCloseTo(advantage, 6);
  },
};

describe.each(methods.map((method) => [method.name, method] as const))("%s", (_, method) => {
  test("claims every law of its kind, or says why it does not", () => {
    expect(Object.keys(method.laws).sort()).toEqual(Object.keys(POLICY_LAWS).sort());
    for (const claim of Object.values(method.laws))
      if (claim !== true) expect(String(claim).length).toBeGreaterThan(10);
  });
  for (const law of claimed(method.laws)) test(POLICY_LAWS[law], () => laws[law](method));
});
