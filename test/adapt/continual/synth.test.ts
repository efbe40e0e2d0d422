/** Replay of rows that the model writes itself. */
import { afterAll, expect, test } from "bun:test";
import type { Stream } from "../../../src/adapt/continual/contract.ts";
import { StreamRows } from "../../../src/adapt/continual/rows.ts";
import { SaidRows, type SaidValues } from "../../../src/adapt/continual/said-rows.ts";
import type { Sequence } from "../../../src/data/sequences.ts";
import { Model } from "../../../src/model/model.ts";
import { Generator } from "../../../src/run/generating/generate.ts";
import { GREEDY } from "../../../src/run/generating/sampling.ts";
import { dataOf } from "../../support/checkpoint-values.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { NET, pairRows, StreamLab } from "./lab.ts";

const lab = new StreamLab();
afterAll(() => lab.close());

const DECODER = {
  ...{ model_type: "llama", vocab_size: 12, hidden_size: 16, intermediate_size: 32, num_hidden_layers: 1 },
  ...{ num_attention_heads: 2, num_key_value_heads: 2, max_position_embeddings: 16, initializer_range: 0.2 },
};
lab.json("decoder.json", DECODER);

/** Rows that count in steps of `step` among six tokens from `first` on. */
const counting = (first: number, step: number) =>
  Array.from({ length: 24 }, (_, row) => {
    const input_ids = Array.from({ length: 8 }, (_, t) => first + ((row + step * t) % 6));
    return { input_ids, labels: input_ids };
  });
lab.write("a.jsonl", counting(0, 1));
lab.write("b.jsonl", counting(6, 5));

const RUN = "--init @decoder.json --tasks @a.jsonl,@b.jsonl --batch-size 12 --lr 0.02 --schedule constant";
const LONG = `${RUN} --epochs 12 --save-every 0`;
const bytesOf = (name: string) => dataOf(lab.bytes(`${name}/model.safetensors`));

test("what the model writes keeps what it knew, and no written row is training in a row", async () => {
  const seq = await lab.run(`${LONG} -o @seq`);
  const none = await lab.run(`${LONG} --method synth --synth-rows 0 -o @none`);
  const synth = await lab.run(`${LONG} --method synth --synth-rows 24 --replay-ratio 0.5 -o @synth`);
  expect(bytesOf("none")).toEqual(bytesOf("seq"));
  expect(none.json.metrics).toEqual(seq.json.metrics);
  const [lost, kept] = [seq.json.metrics.loss.forgetting, synth.json.metrics.loss.forgetting];
  expect(lost).toBeGreaterThan(1);
  expect(kept).toBeLessThan(0.2);
}, 120_000);

test.each(["fscil", "slca"])("%s names a language model as what it is not for", async (method) => {
  await expect(lab.run(`${RUN} --method ${method} --steps 1 -o @no-head`)).rejects.toThrow("this model writes text");
});

test("goes on bit for bit, with what was written before the first task too", async () => {
  const line = `${RUN} --epochs 2 --save-every 1 --method synth --synth-rows 10 --synth-base --synth-tokens 5`;
  const whole = await lab.run(`${line} -o @whole`);
  for (const [task, step] of [
    ["a", 2],
    ["b", 3],
  ] as const)
    await lab.run(`${line} -o @cut --resume`, { task, step });
  const end = await lab.run(`${line} -o @cut --resume`);
  expect(end.json).toEqual(whole.json);
  expect(bytesOf("cut")).toEqual(bytesOf("whole"));
}, 120_000);

test("a classifier is refused", async () => {
  lab.write("pairs.jsonl", pairRows(0, 20));
  lab.json("net.json", NET);
  const line = "--init @net.json --tasks one=@pairs.jsonl,two=@pairs.jsonl --method synth -o @refused";
  expect(lab.run(line)).rejects.toThrow("synth learns again what a language model writes");
});

/** A task of two rows for a fresh decoder: one that counts from its start, one with a prompt of three tokens. */
async function twoRows(values: Partial<SaidValues>) {
  const gpu = await sharedGpu();
  const model = await Model.fresh(gpu, DECODER, "decoder", { seed: 3 });
  const plain = Int32Array.of(1, 2, 3, 4, 5, 6);
  const like = { group: 0, place: "rows" };
  const sequences: Sequence[] = [
    { ...like, ids: plain, labels: plain },
    { ...like, ids: Int32Array.of(7, 8, 9, 10, 11), labels: Int32Array.of(-100, -100, -100, 10, 11) },
  ];
  const stream: Stream<SaidValues> = {
    ...{ gpu, model, tasks: [{ index: 0, name: "a", rows: 2, classes: [] }], scenario: "domain", seed: 5 },
    ...{ rows: new StreamRows([{ kind: "text", rows: sequences, pad: 0 }]), batchSize: 2, dry: false },
    ...{ tokenizer: { eos: 11, ends: [11] }, signal: new AbortController().signal, resumed: false, info() {} },
    ...{
      given: DECODER,
      earlier: () => Promise.reject(new Error("no rows of another stream")),
      unlabelled: () => Promise.reject(new Error("no rows")),
    },
    values: { ...{ synth_rows: 2, synth_prefix: 2, temperature: 0, top_p: 1 }, ...values },
  };
  const said = new SaidRows(stream);
  await said.write(0, "after");
  return { model, said, contents: said.rows.map((ref) => stream.rows.contentOf(ref) as Sequence) };
}

test("a row gives what it begins with, the model the rest up to the longest row, and only the rest counts", async () => {
  const { model, said, contents } = await twoRows({});
  const generator = new Generator(model);
  for (const [i, prompt] of [
    [1, 2],
    [7, 8, 9],
  ].entries()) {
    const options = { ...GREEDY, maxTokens: 6 - prompt.length, stop: [11], batch: 1 };
    const [answer] = await generator.complete([prompt], options);
    const ids = [...prompt, ...answer!, ...(answer!.length < options.maxTokens ? [11] : [])];
    expect([...contents[i]!.ids]).toEqual(ids);
    expect([...contents[i]!.labels]).toEqual(ids.map((id, t) => (t < prompt.length ? -100 : id)));
  }
  generator.free();
  expect(said.rows).toHaveLength(2);
  expect(said.state()).toEqual([
    [0, 2, contents[0]!.ids.length],
    [0, 3, contents[1]!.ids.length],
  ]);
});

test("a saved state holds what was written; one of other tasks is refused", async () => {
  const { said, contents } = await twoRows({ temperature: 1, synth_tokens: 3 });
  const again = await twoRows({ synth_rows: 1 });
  again.said.load(said.state());
  again.said.kept[0]!.values.set(said.kept[0]!.values);
  expect(again.said.rows).toHaveLength(2);
  expect([...again.said.kept[0]!.values]).toEqual(contents.flatMap(({ ids }) => [...ids]));
  for (const bad of [null, [[1, 2, 3]], [[0, 2]]])
    expect(() => again.said.load(bad)).toThrow("the saved rows do not fit the tasks");
});
