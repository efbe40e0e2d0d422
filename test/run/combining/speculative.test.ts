/** Speculative up-scaling: a small fine-tuned model drafts for a rule over three models. */
import { afterAll, expect, test } from "bun:test";
import { bindDefaults } from "../../../src/method/bind.ts";
import { Model } from "../../../src/model/model.ts";
import { CombinedSource } from "../../../src/run/combining/combined-source.ts";
import type { Rule } from "../../../src/run/combining/contract.ts";
import { logProbabilities } from "../../../src/run/combining/log-probabilities.ts";
import { makeRule, viewed } from "../../../src/run/combining/rule.ts";
import { Decoder } from "../../../src/run/generating/decoder.ts";
import { type ContinueOptions, type Continuer, Generator } from "../../../src/run/generating/generate.ts";
import { GREEDY } from "../../../src/run/generating/sampling.ts";
import { SpeculativeGenerator } from "../../../src/run/generating/speculative.ts";
import { method as eft } from "../../../src/sample/methods/eft.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { TINY_TEXT } from "../../support/tiny-models.ts";

const gpu = await sharedGpu();
const V = 50;
const models = await Promise.all([1, 2, 3].map((seed) => Model.fresh(gpu, TINY_TEXT.llama!, "m", { seed })));
afterAll(() => {
  for (const model of models) model.free();
});
const refs = ["base", "tuned", "reference"];
const rule = makeRule(
  bindDefaults(eft, { eft_scale: 0.5 }),
  viewed(models.map(({ sizes }, i) => ({ ref: refs[i]!, sizes }))),
  undefined,
);
/** Of one model behind two prompts and after a layer. */
const ways: Rule = {
  views: [{ model: 0 }, { model: 0, prompt: (ids) => [5, ...ids] }, { model: 0, layer: 1 }],
  begin: () => (said) => said[0]!.map((x, id) => 2 * x - said[1]![id]! + 0.5 * said[2]![id]!),
};
const sourceOf = (by: Rule) => new CombinedSource(by, models, { refs });
const ahead = (by: Rule, tokens: number) =>
  new SpeculativeGenerator(sourceOf(by), new Decoder(models[1]!, "tuned"), tokens);
async function once(writer: Continuer, prompts: readonly number[][], options: ContinueOptions): Promise<number[][]> {
  const answers: number[][] = prompts.map(() => []);
  for await (const { row, id } of writer.generate(prompts, options)) if (id >= 0) answers[row]!.push(id);
  return answers;
}

test("at temperature 0 the answers are those of the rule alone", async () => {
  const prompts = [[1, 2, 3, 4], [7, 5], [9]];
  const options = { ...GREEDY, maxTokens: 9, stop: [] };
  for (const by of [rule, ways]) {
    const alone = new Generator(sourceOf(by));
    const writer = ahead(by, 3);
    expect(await once(writer, prompts, options)).toEqual(await once(alone, prompts, options));
    for (const made of [alone, writer]) made.free();
  }
});

test("drawn tokens are distributed as the rule says, by a chi-square test over 50 tokens", async () => {
  const prompt = [1, 2, 3];
  const writer = ahead(rule, 2);
  const counts = new Map<string, number>();
  for (let round = 0; round < 16; round++) {
    const keys = Array.from({ length: 64 }, (_, row) => `${round}.${row}`);
    const options = { ...GREEDY, temperature: 1, seed: 3, maxTokens: 3, stop: [], keys };
    for (const ids of await once(writer, Array<number[]>(64).fill(prompt), options))
      counts.set(`${ids.slice(0, 2)}`, (counts.get(`${ids.slice(0, 2)}`) ?? 0) + 1);
  }
  const { drafted, accepted } = writer.log();
  expect(accepted).toBeGreaterThan(0);
  expect(accepted).toBeLessThan(drafted!);
  writer.free();
  // The first token is the rule's own, the second is drafted for.
  const source = sourceOf(rule);
  const total = 1024;
  const first = logProbabilities(await source.read([prompt], { most: 8, names: ["a"] })).map(Math.exp);
  const pairs: number[] = [];
  for (let id = 0; id < V; id++) {
    if (first[id]! < 0.05) continue;
    const then = logProbabilities(await source.read([[...prompt, id]], { most: 8, names: ["a"] })).map(Math.exp);
    // Pairs that are expected less than five times are one cell.
    let [square, free, rare, seen] = [0, 0, 0, 0];
    for (const [next, p] of then.entries()) {
      const [want, found] = [total * first[id]! * p, counts.get(`${id},${next}`) ?? 0];
      if (want < 5) {
        rare += want;
        seen += found;
        continue;
      }
      square += (found - want) ** 2 / want;
      free++;
    }
    if (rare > 0) square += (seen - rare) ** 2 / rare;
    // Wilson and Hilferty's quantile of chi-square at 1 - 1e-4.
    const cells = free + (rare > 0 ? 1 : 0);
    const quantile = cells * (1 - 2 / (9 * cells) + 3.72 * Math.sqrt(2 / (9 * cells))) ** 3;
    expect(square).toBeLessThan(quantile);
    pairs.push(cells);
  }
  expect(pairs.length).toBeGreaterThan(0);
  source.free();
});

test("a rule that remembers cannot be drafted for", async () => {
  const source = sourceOf({ ...rule, remembers: true });
  await expect(source.block([[1, 2]], [1], 1)).rejects.toThrow("a rule that remembers");
});
