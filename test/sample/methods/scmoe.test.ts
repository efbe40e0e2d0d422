/** Self-contrast against its formula in plain arithmetic, and on a mixture whose weak experts are its strong ones. */
import { expect, test } from "bun:test";
import { bindDefaults } from "../../../src/method/bind.ts";
import { Model } from "../../../src/model/model.ts";
import { CombinedSource } from "../../../src/run/combining/combined-source.ts";
import { logProbabilities } from "../../../src/run/combining/log-probabilities.ts";
import { makeRule } from "../../../src/run/combining/rule.ts";
import { Generator } from "../../../src/run/generating/generate.ts";
import { argmax, GREEDY } from "../../../src/run/generating/sampling.ts";
import { method } from "../../../src/sample/methods/scmoe.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { normals } from "../../support/random.ts";
import { TINY_EXPERTS } from "../../support/tiny-models.ts";
import { combineWith, ruleWith, viewedModels } from "./combine-with.ts";

const MIXTURES = viewedModels(1, { experts: { count: 8, perToken: 2 } });
const [STRONG, WEAK] = [Float32Array.of(3, 2, 1, -4), Float32Array.of(2, 0, 3, 5)];

test("(1 + beta) strong - beta weak, each by its temperature, among plausible tokens", () => {
  const values = { scmoe_beta: 0.5, scmoe_alpha: 0.3, scmoe_strong_temperature: 2, scmoe_weak_temperature: 4 };
  const scores = combineWith(bindDefaults(method, values), MIXTURES)([STRONG, WEAK]);
  // ln 0.3 = -1.2: strong / 2 is 1.5, 1, 0.5, -2.
  expect([...scores]).toEqual([1.5 * 1.5 - 0.25, 1.5 - 0, 0.75 - 0.375, Number.NEGATIVE_INFINITY]);
});

test("beta 0, and weak experts that say the same, are greedy; every choice is plausible", () => {
  for (let seed = 0; seed < 50; seed++) {
    const [strong, weak] = [normals(seed, 9), normals(seed + 100, 9)];
    const choose = (values: Record<string, number>, said: readonly Float32Array[]) =>
      argmax(combineWith(bindDefaults(method, values), MIXTURES)(said));
    expect(choose({ scmoe_beta: 0 }, [strong, weak])).toBe(argmax(strong));
    expect(choose({ scmoe_beta: 1 }, [strong, strong])).toBe(argmax(strong));
    const logs = logProbabilities(strong);
    const chosen = choose({ scmoe_beta: 1, scmoe_alpha: 0.5 }, [strong, weak]);
    expect(Math.exp(logs[chosen]!)).toBeGreaterThanOrEqual(0.5 * Math.exp(Math.max(...logs)) - 1e-12);
  }
});

test("experts are named by ranks", () => {
  const ranks = (values: Record<string, string>) =>
    ruleWith(bindDefaults(method, values), MIXTURES).views.map((view) => view.ranks);
  expect(ranks({})).toEqual([undefined, [2]]);
  expect(ranks({ scmoe_strong: "top3", scmoe_weak: "top1" })).toEqual([[0, 1, 2], [0]]);
  for (const odd of ["2", "top0", "rank", "first"])
    expect(() => ranks({ scmoe_weak: odd })).toThrow(`--scmoe-weak ${odd} names no experts`);
});

test("a mixture writes as it is where its weak experts are its strong ones, and otherwise where they are not", async () => {
  const gpu = await sharedGpu();
  const config = TINY_EXPERTS.mixtral!;
  const model = await Model.fresh(gpu, config, "m", { seed: 4 });
  const seen = [{ ref: "m", sizes: model.sizes, experts: { count: 4, perToken: 2 } }];
  const prompts = [
    [1, 2, 3],
    [7, 5],
  ];
  const options = { ...GREEDY, maxTokens: 8, stop: [], batch: 2 };
  const write = async (source: Model | CombinedSource) => {
    const generator = new Generator(source);
    const found = await generator.complete(prompts, options);
    generator.free();
    return found;
  };
  const contrasted = (values: Record<string, string | number>) =>
    write(new CombinedSource(makeRule(bindDefaults(method, values), seen, undefined), [model], { refs: ["m"] }));
  const alone = await write(model);
  expect(await contrasted({ scmoe_weak: "top2", scmoe_beta: 3 })).toEqual(alone);
  expect(await contrasted({ scmoe_beta: 0 })).toEqual(alone);
  expect(await contrasted({ scmoe_weak: "rank3", scmoe_beta: 3, scmoe_alpha: 0.001 })).not.toEqual(alone);
  model.free();
});
