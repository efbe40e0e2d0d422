import { method as kd } from "../../../src/distill/methods/kd.ts";
import { bindDefaults } from "../../../src/method/bind.ts";
import { Model } from "../../../src/model/model.ts";
import type { DecoderMethod, Rule } from "../../../src/run/combining/contract.ts";
import { makeRule, viewed } from "../../../src/run/combining/rule.ts";
import { method as dola } from "../../../src/sample/methods/dola.ts";
import { method as scmoe } from "../../../src/sample/methods/scmoe.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { LENGTH, SYMBOLS } from "../distill-languages.ts";
import { learn, markovRows, rowsOf } from "../distill-support.ts";
import { experimentOf } from "../experiment.ts";
import { scored } from "../ruled.ts";

const BETAS = [0.1, 0.3, 0.5, 1] as const;
const DOLA = ["low", "high"] as const;
const EXPERTS = 8;

export const experiment = experimentOf({
  title: "`sample --method scmoe` and `dola`: accuracy over beta and layers",
  about: `A language of ${SYMBOLS} symbols of which two decide the next; a mixture of ${EXPERTS} experts, two a token, and a decoder of four layers read 256 texts for 150
steps. Figures are the share of symbols of 96 other texts that get the highest score: by the usual experts less the third likeliest, beta times,
and by the last layer less an early one. Neither gains here, where there are no facts to recall and no reasons to go through: the more
is taken away, the fewer symbols are right.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    "experts: beta 0": {},
    ...Object.fromEntries(BETAS.map((beta) => [`experts: beta ${beta} − 0`, {}])),
    "layers: the last": {},
    ...Object.fromEntries(DOLA.map((layers) => [`layers: ${layers} − the last`, {}])),
  },
  async run(seed) {
    const gpu = await sharedGpu();
    const language = { alphabet: SYMBOLS, order: 2, length: LENGTH, concentration: 0.1, smoothing: 0.01 };
    const rows = markovRows(seed, 256, language);
    const test = markovRows(seed, 96, language, "test");
    const shape = {
      ...{ hidden_size: 24, intermediate_size: 32, num_attention_heads: 2, num_key_value_heads: 2, rms_norm_eps: 1e-5 },
      ...{ vocab_size: SYMBOLS, max_position_embeddings: 64, initializer_range: 0.1 },
    };
    const experts = {
      ...shape,
      model_type: "mixtral",
      num_local_experts: EXPERTS,
      num_experts_per_tok: 2,
      num_hidden_layers: 2,
    };
    const deep = { ...shape, model_type: "llama", num_hidden_layers: 4, tie_word_embeddings: false };
    const taught = async (config: typeof experts | typeof deep) => {
      const model = await Model.fresh(gpu, config, "model", { seed });
      await learn(model, { method: kd as never, data: rowsOf(rows, 32, seed), steps: 150, lr: 0.01, seed });
      return model;
    };
    const [mixture, layered] = [await taught(experts), await taught(deep)];
    const alone: Rule = { views: [{ model: 0 }], begin: () => (said) => said[0]! };
    const under = (model: Model, method: unknown, settings: Readonly<Record<string, unknown>>) => {
      const seen = viewed([{ ref: "model", sizes: model.sizes }]).map((one) => ({
        ...one,
        ...(model === mixture ? { experts: { count: EXPERTS, perToken: 2 } } : {}),
      }));
      return scored(makeRule(bindDefaults(method as DecoderMethod, settings), seen, undefined), [model], test);
    };
    const plain = {
      experts: (await scored(alone, [mixture], test)).accuracy,
      layers: (await scored(alone, [layered], test)).accuracy,
    };
    const figures: Record<string, number> = { "experts: beta 0": plain.experts, "layers: the last": plain.layers };
    for (const beta of BETAS)
      figures[`experts: beta ${beta} − 0`] =
        (await under(mixture, scmoe, { scmoe_beta: beta })).accuracy - plain.experts;
    for (const layers of DOLA)
      figures[`layers: ${layers} − the last`] =
        (await under(layered, dola, { dola_layers: layers })).accuracy - plain.layers;
    mixture.free();
    layered.free();
    return figures;
  },
});
