/** Models that write together, against their probabilities mixed one token at a time. */
import { afterAll, expect, test } from "bun:test";
import { Model } from "../../src/model/model.ts";
import { logProbabilities } from "../../src/run/combining/log-probabilities.ts";
import { Decoder } from "../../src/run/generating/decoder.ts";
import { Generator } from "../../src/run/generating/generate.ts";
import { GREEDY } from "../../src/run/generating/sampling.ts";
import { UNIVERSAL, UniversalMixture } from "../../src/run/universal-mixture.ts";
import { Ensemble, type EnsembleKind } from "../../src/sample/ensemble.ts";
import { sharedGpu } from "../support/gpu.ts";
import { TINY_TEXT } from "../support/tiny-models.ts";

const gpu = await sharedGpu();
const CONFIG = TINY_TEXT.llama!;
const models = await Promise.all([1, 2].map((seed) => Model.fresh(gpu, CONFIG, "m", { seed })));
afterAll(() => {
  for (const model of models) model.free();
});
const PROMPTS = [
  [1, 2, 3, 4],
  [7, 5],
];
const OPTIONS = { most: 16, names: ["a", "b"] };
const decoders = () => models.map((model) => new Decoder(model, "m"));

/** Log-probabilities of the token after each prefix of `ids`, by one model alone. */
async function alone(model: Model, ids: readonly number[]): Promise<Float64Array[]> {
  const decoder = new Decoder(model, "m");
  const rows: Float64Array[] = [];
  for (let end = 1; end <= ids.length; end++) {
    const logits = await decoder.read([ids.slice(0, end)], OPTIONS);
    rows.push(logProbabilities(logits, model.sizes.outputs));
  }
  decoder.free();
  return rows;
}

test.each(["universal", "bayes", "equal"] as const)(
  "%s: probabilities are mixed by what foretold the text",
  async (kind) => {
    const source = new Ensemble(decoders(), kind, 1);
    let logits = await source.read(PROMPTS, OPTIONS);
    const sequences = PROMPTS.map((prompt) => [...prompt, 9]);
    logits = await source.next(sequences, new Set([0, 1]));
    const { outputs } = source.sizes;
    for (const [row, ids] of sequences.entries()) {
      const said = await Promise.all(models.map((model) => alone(model, ids)));
      const mixture = kind === "equal" ? undefined : new UniversalMixture(2, { ...UNIVERSAL, kind });
      for (let t = 1; t < ids.length; t++) mixture?.hear(said.map((own) => own[t - 1]![ids[t]!]!));
      const weights = mixture?.weights() ?? [0.5, 0.5];
      for (let id = 0; id < outputs; id++) {
        const p = said.reduce((sum, own, i) => sum + weights[i]! * Math.exp(own.at(-1)![id]!), 0);
        expect(logits[row * outputs + id]!).toBeCloseTo(Math.log(p), 4);
      }
      for (const [i, weight] of source.notes(row).weights.entries()) expect(weight).toBeCloseTo(weights[i]!, 4);
    }
    source.free();
  },
);

test("a discount makes the weights those of a shorter past", async () => {
  const weightsAt = async (discount: number) => {
    const source = new Ensemble(decoders(), "bayes", discount);
    await source.read(PROMPTS, OPTIONS);
    source.free();
    return source.notes(0).weights;
  };
  const said = await Promise.all(models.map((model) => alone(model, PROMPTS[0]!)));
  const mixture = new UniversalMixture(2, { ...UNIVERSAL, kind: "bayes", discount: 0.5 });
  for (let t = 1; t < 4; t++) mixture.hear(said.map((own) => own[t - 1]![PROMPTS[0]![t]!]!));
  for (const [i, weight] of (await weightsAt(0.5)).entries()) expect(weight).toBeCloseTo(mixture.weights()[i]!, 4);
  expect(await weightsAt(1)).not.toEqual(await weightsAt(0.5));
});

test("a model beside itself writes what it writes alone, in batches too", async () => {
  const options = { ...GREEDY, maxTokens: 6, stop: [] };
  const plain = new Generator(models[0]!);
  const want = await plain.complete(PROMPTS, { ...options, batch: 1 });
  plain.free();
  for (const kind of ["universal", "bayes", "equal"] satisfies EnsembleKind[]) {
    const both = new Generator(
      new Ensemble(
        [models[0]!, models[0]!].map((m) => new Decoder(m, "m")),
        kind,
        1,
      ),
    );
    expect(await both.complete(PROMPTS, { ...options, batch: 2 })).toEqual(want);
    both.free();
  }
});

test("the batch changes nothing", async () => {
  const write = async (batch: number) => {
    const generator = new Generator(new Ensemble(decoders(), "universal", 1));
    const sampling = { ...GREEDY, temperature: 1, maxTokens: 6, stop: [], batch };
    const found = await generator.complete([...PROMPTS, [3, 3, 3]], sampling);
    generator.free();
    return found;
  };
  expect(await write(3)).toEqual(await write(1));
});

test("ids that a model lacks have no probability", () => {
  const logs = logProbabilities(Float32Array.of(0, Math.log(3)), 3);
  expect([...logs].map(Math.exp)).toEqual([expect.closeTo(0.25, 6), expect.closeTo(0.75, 6), 0]);
});
