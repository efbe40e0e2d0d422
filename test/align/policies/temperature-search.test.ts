/** Temperatures that are chosen on held-out prompts, and what ranks the answers there. */
import { describe, expect, test } from "bun:test";
import { method as selfEvolve } from "../../../src/align/methods/policies/self-evolve.ts";
import type { Choosable, PolicyMethod } from "../../../src/align/policies/contract.ts";
import type { HeldPrompts } from "../../../src/align/policies/held-prompts.ts";
import { checkHeldPrompts, withTemperature } from "../../../src/align/policies/temperature-choice.ts";
import { passesOf, TemperatureSearch } from "../../../src/align/policies/temperature-search.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { randomUnits } from "../../support/random.ts";
import { rewarded } from "./rewarded.ts";
import { bound, policyWorld, term, tinyModel } from "./world.ts";

describe("passes", () => {
  test("are the shares of prompts with a right answer, of all and of the two that rank highest", () => {
    const right = [false, false, true, false, true, false, false, false, false].map((own) => own);
    // Third by rank; second, of equals the first; none.
    expect(passesOf(right, Float64Array.of(3, 2, 1, 5, 1, 1, 1, 2, 3), 3)).toEqual({ all: 2 / 3, ranked: 1 / 3 });
  });

  test("of those that rank highest are never more than of all", () => {
    const unit = randomUnits(4);
    for (let i = 0; i < 30; i++) {
      const right = Array.from({ length: 12 }, () => unit() < 0.2);
      const { all, ranked } = passesOf(right, Float64Array.from(right, unit), 4);
      expect(ranked).toBeLessThanOrEqual(all);
      expect(passesOf(right, Float64Array.from(right, Number), 4)).toEqual({ all, ranked: all });
    }
  });
});

test("the temperature is the one at which answers that rank highest are right most often, the nearest of equals", async () => {
  const chosen = await bound("self-evolve", { group: 4, rerank: "own-logprob" } as Parameters<typeof bound>[1]);
  // Right answers of four prompts by temperature, the likeliest answer first; greedy ones are right half of the time.
  const right: Readonly<Record<number, readonly number[]>> = {
    0.5: [0, 3, 3, 9],
    1: [1, 1, 2, 9],
    1.5: [1, 1, 2, 3],
    0: [0, 0, 9, 9],
  };
  const held = {
    async answers(temperature: number) {
      const all = Array.from({ length: 16 }, (_, i) => ({
        ids: [1],
        logProbs: [-(i % 4)],
        text: "",
        truncated: false,
      }));
      const parts = all.map((_, i) => [right[temperature]![Math.floor(i / 4)] === i % 4 ? 1 : 0]);
      return { answers: all, parts, reference: undefined };
    },
  } as unknown as HeldPrompts;
  const search = new TemperatureSearch({ chosen, held, weights: [1], grid: [0.5, 1, 1.5], every: 2 });
  expect((await search.find(1.4)).temperature).toBe(1.5);
  const { temperature, told } = await search.find(0.7);
  expect(temperature).toBe(1);
  expect(told).toEqual({ temperature: 1, reward_pass: 0.5, pass: 0.75, greedy: 0.5 });
});

test("a process reward model ranks as a reward of weight 0", () => {
  const given = rewarded(selfEvolve as unknown as PolicyMethod, { rerank: "prm" }, { rewards: [1, 1, 0], group: 3 });
  const terms = [[1, 0.2], [1, 0.9], [0, 1]]; // biome-ignore format: a matrix
  const all = {
    ...given,
    terms,
    weights: [1, 0],
    ids: [[1], [2], [3]],
    sampled: [[-1], [-1], [-1]],
    reference: undefined,
  };
  const of = (top: number) => {
    const values = { ...(given.values as object), top } as never;
    return selfEvolve.choice!.of({ ...all, values } as Choosable<never>);
  };
  expect([of(1), of(2)]).toEqual([[[1]], [[1, 0]]]); // of right ones
  expect(() => selfEvolve.checkTerms!(given.values, [{ name: "exact", weight: 1 }])).toThrow("by rewards of weight 0");
});

test("rollouts are sampled at the temperature that was found, which is measured every so many", async () => {
  const gpu = await sharedGpu();
  const model = await tinyModel(gpu);
  const settings = { group: 4, top: 2, max_new_tokens: 3, rerank: "own-logprob", temperature_grid: [0.4, 2] };
  const chosen = await bound("self-evolve", { ...settings, temperature: 1 } as Parameters<typeof bound>[1]);
  const right = term("a", ({ answer }) => (answer.includes("a") ? 1 : 0));
  const held = { prompts: [[5], [6], [7]], every: 1 };
  const world = policyWorld({ model, chosen, prompts: [[1], [2]], terms: [right], rows: 4, held, warms: true });
  for (let i = 0; i < 3; i++) await world.source.next();
  const looks = world.told.map(({ temperature }) => temperature);
  expect([looks[0], looks[1], looks[2]]).toEqual([expect.any(Number), undefined, looks[0]]); // the model did not change
  expect([0.4, 2]).toContain(looks[0]!);
  const [first] = world.told;
  expect(first!.reward_pass!).toBeLessThanOrEqual(first!.pass!);
  expect((world.controller.state!() as { temperature: number }).temperature).toBe(looks[0]!);
  world.free();
  model.free();
});

test("auto begins at 1, and asks for held-out prompts, which do nothing elsewhere", async () => {
  const auto = await bound("self-evolve", { temperature: "auto" } as never);
  const { chosen, warms } = withTemperature(auto);
  expect([(chosen.values as { temperature: number }).temperature, warms]).toEqual([1, true]);
  expect(() => checkHeldPrompts(chosen, true)).toThrow("there are none");
  expect(withTemperature(await bound("grpo")).warms).toBe(false);
  const idle = await bound("grpo", { held_prompts: ["a.jsonl"] });
  expect(() => checkHeldPrompts(idle, false)).toThrow("--held-prompts has no effect on grpo");
});
