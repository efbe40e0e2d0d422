/** Tokens that the small Llama writes, alone and in a batch, after prompts of 32 tokens. */
import { Model } from "../../../src/model/model.ts";
import { Generator } from "../../../src/run/generating/generate.ts";
import { GREEDY } from "../../../src/run/generating/sampling.ts";
import { SMALL_DECODER } from "../small-decoder.ts";
import { type Figure, least, type Part } from "./figure.ts";

const [PROMPT, ANSWER] = [32, 32];

export const decoding: Part = async (gpu, { quick }) => {
  const model = await Model.fresh(gpu, SMALL_DECODER, "bench", { seed: 0 });
  const figures: Figure[] = [];
  for (const batch of [1, 64]) {
    const rows = Array.from({ length: batch }, (_, i) =>
      Array.from({ length: PROMPT }, (_, j) => (i * 7919 + j * j * 31 + j) % SMALL_DECODER.vocab_size),
    );
    const generator = new Generator(model);
    const sampling = { ...GREEDY, temperature: 1, maxTokens: ANSWER, stop: [], batch };
    let made = 0;
    const seconds = await least(quick ? 2 : 5, async () => {
      const answers = await generator.complete(rows, sampling);
      made = answers.reduce((sum, { length }) => sum + length, 0);
    });
    figures.push({ name: `decoding, batches of ${batch}`, value: made / seconds, unit: "tokens/s" });
  }
  model.free();
  return figures;
};
