/**
 * The language model of liquid cells: packed and single texts, decoding with a state, classes, and configs that are
 * refused.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { collate } from "../../src/data/batch.ts";
import { method } from "../../src/model/architectures/cfc.ts";
import { Model } from "../../src/model/model.ts";
import { Generator } from "../../src/run/generating/generate.ts";
import { GREEDY } from "../../src/run/generating/sampling.ts";
import { AllLogits } from "../../src/run/scoring/all-logits.ts";
import { sharedGpu } from "../support/gpu.ts";
import { normals } from "../support/random.ts";

setDefaultTimeout(120_000);
const gpu = await sharedGpu();
const CFC = {
  ...{ model_type: "cfc", vocab_size: 23, embedding_size: 5, hidden_size: 7, backbone_size: 4 },
  ...{ num_hidden_layers: 2, max_position_embeddings: 64, time_step: 1.5 },
};
const TEXTS = [
  [1, 5, 7, 2, 9, 22, 0, 3, 3],
  [4, 8, 15],
];
const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

async function made() {
  const model = await Model.fresh(gpu, CFC, "cfc", { seed: 2 });
  const weights = new Map<string, Float64Array>();
  for (const [i, [name, parameter]] of [...model.parameters].entries()) {
    parameter.write(normals(i, parameter.size, 0.5));
    weights.set(name, Float64Array.from(await gpu.readFloats(parameter.buffer, parameter.size)));
  }
  return { model, of: (name: string) => weights.get(name)! };
}

/** x w' + b */
const linear = (w: Float64Array, x: readonly number[], b?: Float64Array) =>
  Array.from({ length: w.length / x.length }, (_, i) =>
    x.reduce((sum, v, j) => sum + w[i * x.length + j]! * v, b?.[i] ?? 0),
  );

/** Logits after every token of a text, in float64. */
function logitsOf(of: (name: string) => Float64Array, ids: readonly number[]): number[][] {
  let rows = ids.map((id) => [...of("embedding.weight").subarray(5 * id, 5 * id + 5)]);
  for (const layer of [0, 1]) {
    const w = (name: string) => of(`cells.${layer}.${name}`);
    let state = Array<number>(7).fill(0);
    rows = rows.map((x) => {
      const own = linear(w("state.weight"), state);
      const z = linear(w("input.weight"), x, w("input.bias")).map((value, i) => Math.tanh(value + own[i]!));
      const heads = linear(w("heads.weight"), z, w("heads.bias"));
      state = state.map((_, i) => {
        const share = sigmoid(-1.5 * heads[i]!);
        return share * Math.tanh(heads[7 + i]!) + (1 - share) * Math.tanh(heads[14 + i]!);
      });
      return state;
    });
  }
  return rows.map((row) => linear(of("lm_head.weight"), row));
}

test("logits of texts, in rows of their own and packed, are those of float64, and decoding goes on from a state", async () => {
  const { model, of } = await made();
  const reader = new AllLogits(model);
  const sequences = TEXTS.map((ids, i) => {
    const own = Int32Array.from(ids);
    return { ids: own, labels: own, group: 0, place: `${i}` };
  });
  for (const bins of [sequences.map((sequence) => [sequence]), [sequences]]) {
    const batch = collate(bins, { buckets: "none" });
    const found = await reader.of(batch);
    for (const { sequence, row, start } of batch.documents)
      for (const [i, wanted] of logitsOf(of, [...sequence.ids]).entries())
        for (const [k, value] of wanted.entries())
          expect(found[(row * batch.length + start + i) * 23 + k]!).toBeCloseTo(value, 4);
  }
  reader.free();
  const generator = new Generator(model);
  const answers = await generator.complete(TEXTS, { ...GREEDY, maxTokens: 5, stop: [], batch: 2 });
  generator.free();
  for (const [row, prompt] of TEXTS.entries()) {
    const text = [...prompt];
    for (let i = 0; i < 5; i++) {
      const last = logitsOf(of, text).at(-1)!;
      text.push(last.indexOf(Math.max(...last)));
    }
    expect(answers[row]).toEqual(text.slice(prompt.length));
  }
  model.free();
});

test("config.json says what it is made of; with a head for classes it classifies texts", async () => {
  const c = method.config(CFC, "config.json");
  expect(method.config({ ...method.implied!(c), model_type: "cfc" }, "config.json")).toEqual(c);
  const model = await Model.fresh(
    gpu,
    { ...CFC, architectures: ["CfcForSequenceClassification"], num_labels: 3 },
    "c",
    {
      seed: 0,
    },
  );
  expect([model.task, model.sizes.outputs]).toEqual(["classifier", 3]);
  model.free();
});

test.each([
  [{ hidden_size: 1024 }, "states of 512 units are the largest here"],
  [{ backbone_size: 2048 }, "layers of 1024 are the largest here"],
  [{ time_step: 0 }, "time_step must be a number above 0"],
  [{ tie_word_embeddings: true }, "a tied head reads 5 numbers"],
])("%j is refused", (more, message) => {
  expect(() => method.config({ ...CFC, ...more }, "config.json")).toThrow(message);
});
