/** The recurrent language model against float64, decoding with a state, and as a classifier of texts. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { collate, stackExamples } from "../../src/data/batch.ts";
import type { Json } from "../../src/model/architecture.ts";
import { Model } from "../../src/model/model.ts";
import { fillInputs, recordInputs } from "../../src/run/batch-programs.ts";
import { Generator } from "../../src/run/generating/generate.ts";
import { GREEDY } from "../../src/run/generating/sampling.ts";
import { Program, profileOf } from "../../src/tensor/program.ts";
import { Recorder } from "../../src/tensor/recorder.ts";
import { sharedGpu } from "../support/gpu.ts";
import { normals } from "../support/random.ts";

setDefaultTimeout(120_000);
const gpu = await sharedGpu();
const GRU = {
  model_type: "gru",
  vocab_size: 23,
  embedding_size: 5,
  hidden_size: 7,
  num_hidden_layers: 2,
  max_position_embeddings: 64,
};
const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

async function made(json: Json): Promise<{ model: Model; of: (name: string) => Float64Array }> {
  const model = await Model.fresh(gpu, json, "gru", { seed: 2 });
  const weights = new Map<string, Float64Array>();
  for (const [i, [name, parameter]] of [...model.parameters].entries()) {
    if (parameter.shape.length === 1) parameter.write(normals(i, parameter.size, 0.3));
    weights.set(name, Float64Array.from(await gpu.readFloats(parameter.buffer, parameter.size)));
  }
  return { model, of: (name) => weights.get(name)! };
}

/** States (T, H) of a text after the last layer. */
function statesOf(of: (name: string) => Float64Array, ids: readonly number[]): number[][] {
  const table = of("embedding.weight");
  let rows = ids.map((id) => [...table.subarray(5 * id, 5 * id + 5)]);
  for (let layer = 0; layer < 2; layer++) {
    const [wi, wh, bi, bh] = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"].map((name) =>
      of(`rnn.${name}_l${layer}`),
    );
    const product = (w: Float64Array, b: Float64Array, x: readonly number[], i: number) =>
      x.reduce((sum, v, j) => sum + w[i * x.length + j]! * v, b[i]!);
    let h = Array<number>(7).fill(0);
    rows = rows.map((x) => {
      const before = h;
      h = before.map((own, i) => {
        const gate = (g: number) => product(wi!, bi!, x, 7 * g + i) + product(wh!, bh!, before, 7 * g + i);
        const [r, z] = [sigmoid(gate(0)), sigmoid(gate(1))];
        const n = Math.tanh(product(wi!, bi!, x, 14 + i) + r * product(wh!, bh!, before, 14 + i));
        return (1 - z) * n + z * own;
      });
      return h;
    });
  }
  return rows;
}
const linear = (w: Float64Array, x: readonly number[]) =>
  Array.from({ length: w.length / x.length }, (_, i) => x.reduce((sum, v, j) => sum + w[i * x.length + j]! * v, 0));

const TEXTS = [
  [1, 5, 7, 2, 9, 22, 0, 3, 3],
  [4, 8, 15],
];

test("logits of texts, in rows of their own and packed, are those of float64", async () => {
  const { model, of } = await made(GRU);
  const sequences = TEXTS.map((ids, i) => ({
    ids: Int32Array.from(ids),
    labels: Int32Array.from(ids),
    group: 0,
    place: `${i}`,
  }));
  for (const bins of [sequences.map((sequence) => [sequence]), [sequences]]) {
    const batch = collate(bins, { buckets: "none" });
    const rec = new Recorder(profileOf(gpu), { training: false });
    const recorded = model.record(rec, recordInputs(rec, batch));
    rec.output("logits", recorded.head(recorded.hidden));
    const program = await Program.compile(gpu, rec);
    fillInputs(program, batch);
    program.run();
    const logits = await program.read("logits");
    for (const { sequence, row, start } of batch.documents)
      for (const [i, state] of statesOf(of, [...sequence.ids]).entries())
        for (const [k, wanted] of linear(of("lm_head.weight"), state).entries())
          expect(logits[(row * batch.length + start + i) * 23 + k]!).toBeCloseTo(wanted, 5);
    program.free();
  }
  model.free();
});

test("decoding by its state gives what reading everything anew gives", async () => {
  const { model, of } = await made({ ...GRU, tie_word_embeddings: false });
  const generator = new Generator(model);
  const answers = await generator.complete(TEXTS, { ...GREEDY, maxTokens: 6, stop: [], batch: 2 });
  generator.free();
  for (const [row, prompt] of TEXTS.entries()) {
    const text = [...prompt];
    for (let i = 0; i < 6; i++) {
      const logits = linear(of("lm_head.weight"), statesOf(of, text).at(-1)!);
      text.push(logits.indexOf(Math.max(...logits)));
    }
    expect(answers[row]).toEqual(text.slice(prompt.length));
  }
  model.free();
});

test("with a head for classes it reads the state after a text's last token", async () => {
  const { model, of } = await made({ ...GRU, architectures: ["GruForSequenceClassification"], num_labels: 3 });
  expect(model.task).toBe("classifier");
  const tokens = TEXTS.map((ids) => ({ ids: Int32Array.from(ids), types: new Int32Array(ids.length) }));
  const batch = stackExamples(tokens.map((text, i) => ({ tokens: text, label: i })));
  const rec = new Recorder(profileOf(gpu), { training: false });
  const recorded = model.record(rec, recordInputs(rec, batch));
  rec.output("logits", recorded.head(recorded.hidden));
  const program = await Program.compile(gpu, rec);
  fillInputs(program, batch);
  program.run();
  const logits = await program.read("logits");
  for (const [row, ids] of TEXTS.entries())
    for (const [k, wanted] of linear(of("score.weight"), statesOf(of, ids).at(-1)!).entries())
      expect(logits[3 * row + k]!).toBeCloseTo(wanted, 5);
  for (const one of [program, model]) one.free();
});

test("a head that is tied to an embedding of another width is refused", () => {
  const tied = Model.fresh(gpu, { ...GRU, tie_word_embeddings: true }, "gru", { seed: 0 });
  expect(tied).rejects.toThrow("a tied head reads 5 numbers (embedding_size), and states have 7 (hidden_size)");
  const wide = Model.fresh(gpu, { ...GRU, hidden_size: 2048 }, "gru", { seed: 0 });
  expect(wide).rejects.toThrow("hidden_size 2048; states of 1024 units are the largest here");
});
