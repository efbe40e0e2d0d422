/** Two decoders of a language of symbols: a large one that knows it, and a small one that hardly does. */
import { method as kd } from "../../src/distill/methods/kd.ts";
import { Model } from "../../src/model/model.ts";
import { learn, markovRows, rowsOf } from "../experiments/distill-support.ts";
import { sharedGpu } from "../support/gpu.ts";

const SYMBOLS = 16;
const LENGTH = 24;

/** Both, and beginnings of texts of which each has `length` symbols more. */
export async function learnRows() {
  const gpu = await sharedGpu();
  const rows = markovRows(1, 128, { alphabet: SYMBOLS, order: 2, length: LENGTH, concentration: 0.1, smoothing: 0.01 });
  const model = (hidden: number) => ({
    ...{ model_type: "llama", hidden_size: hidden, intermediate_size: 2 * hidden, num_hidden_layers: 2 },
    ...{ num_attention_heads: 2, num_key_value_heads: 2, rms_norm_eps: 1e-5, vocab_size: SYMBOLS },
    ...{ max_position_embeddings: 64, initializer_range: 0.1 },
  });
  const taught = async (hidden: number, steps: number) => {
    const made = await Model.fresh(gpu, model(hidden), "model", { seed: 1 });
    await learn(made, { method: kd as never, data: rowsOf(rows, 32, 1), steps, lr: 0.01, seed: 1 });
    return made;
  };
  const prompts = rows.slice(0, 24).map(({ ids }) => [...ids.slice(0, 4)]);
  return { large: await taught(32, 150), small: await taught(8, 25), prompts, length: LENGTH - 4 };
}
