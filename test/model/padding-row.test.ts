/** The row of `pad_token_id` in the embedding: its gradient is left out, as PyTorch's `padding_idx` does. */
import { expect, test } from "bun:test";
import { collate } from "../../src/data/batch.ts";
import type { Json } from "../../src/model/architecture.ts";
import { Model } from "../../src/model/model.ts";
import { crossEntropyObjective } from "../../src/run/training/cross-entropy.ts";
import { Program, profileOf } from "../../src/tensor/program.ts";
import { Recorder } from "../../src/tensor/recorder.ts";
import { sharedGpu } from "../support/gpu.ts";
import { TINY_TEXT } from "../support/tiny-models.ts";

const gpu = await sharedGpu();
const WIDTH = 24;

/** Gradients of embedding and, where it has its own, head, for a row in which token 7 is twice read and predicted. */
async function gradients(json: Json): Promise<{ table: Float32Array; others: Float32Array[] }> {
  const model = await Model.fresh(gpu, json, "m", { seed: 3 });
  const ids = Int32Array.from([1, 7, 5, 7, 2]);
  const batch = collate([[{ ids, labels: ids, group: 0, place: "0" }]], { buckets: "none" });
  const objective = crossEntropyObjective(model);
  const rec = new Recorder(profileOf(gpu));
  const { backward } = objective.record(rec, batch, "");
  rec.backward(backward);
  const program = await Program.compile(gpu, rec);
  objective.fill(program, batch, objective.counted(batch, ""), "");
  program.run({ accumulate: 0 });
  const read = async (name: string) => {
    const { gradient, size } = model.parameters.get(name)!;
    return gpu.readFloats(gradient, size);
  };
  const names = [...model.parameters.keys()].filter((name) => !/embed_tokens|wte/.test(name));
  const table = await read(tableOf(json));
  const others = await Promise.all(names.map(read));
  model.free();
  return { table, others };
}
const tableOf = ({ model_type }: Json) =>
  model_type === "gpt2" ? "transformer.wte.weight" : "model.embed_tokens.weight";

test.each([
  ["the token", 7],
  ["counted from the end", 7 - 50],
])("no gradient reaches the row, and all else is as it was: %s", async (_, pad_token_id) => {
  const plain = await gradients(TINY_TEXT.llama!);
  const padded = await gradients({ ...TINY_TEXT.llama!, pad_token_id });
  expect(padded.others).toEqual(plain.others);
  for (let token = 0; token < 50; token++) {
    const row = (values: Float32Array) => values.subarray(WIDTH * token, WIDTH * (token + 1));
    expect(row(padded.table)).toEqual(token === 7 ? new Float32Array(WIDTH) : row(plain.table));
  }
  expect(plain.table.subarray(7 * WIDTH, 8 * WIDTH).some((value) => value !== 0)).toBe(true);
});

test("a tied head still gives the row its part", async () => {
  const json = { ...TINY_TEXT.llama!, tie_word_embeddings: true };
  const plain = await gradients(json);
  const padded = await gradients({ ...json, pad_token_id: 7 });
  const row = ({ table }: { table: Float32Array }) => table.subarray(7 * WIDTH, 8 * WIDTH);
  expect(row(padded).some((value) => value !== 0)).toBe(true);
  expect(row(padded)).not.toEqual(row(plain));
});

test.each([
  ["gpt2 has no padding row", TINY_TEXT.gpt2!, 7],
  ["nor has a token outside the vocabulary", TINY_TEXT.llama!, 50],
  ["nor null", TINY_TEXT.llama!, null],
])("%s", async (_, json, pad_token_id) => {
  expect(await gradients({ ...json, pad_token_id })).toEqual(await gradients(json));
});
