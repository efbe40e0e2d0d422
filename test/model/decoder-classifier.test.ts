/**
 * Decoders with a head for classes: against float64 on the host, over all decoders, from file and adapter and back, and
 * as transformers names and describes them.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { applyAdapter } from "../../src/checkpoint/adapter/adapter.ts";
import { open, openPlain } from "../../src/checkpoint/open.ts";
import { collate, stackExamples } from "../../src/data/batch.ts";
import { heldValues } from "../../src/model/adapters/held-values.ts";
import type { Json } from "../../src/model/architecture.ts";
import { classifierConfig } from "../../src/model/decoder-classifier.ts";
import { configOf, describeConfig } from "../../src/model/description.ts";
import { Model } from "../../src/model/model.ts";
import { saveModel } from "../../src/model/save.ts";
import { withConfig } from "../../src/model/with-config.ts";
import { lastPlaces } from "../../src/run/batch-programs.ts";
import { sharedGpu } from "../support/gpu.ts";
import { logitsOf } from "../support/logits.ts";
import { loraOf } from "../support/lora.ts";
import { normals } from "../support/random.ts";
import { TINY_DECODERS, TINY_DELTA, TINY_EXPERTS, TINY_NEOX, TINY_TEXT } from "../support/tiny-models.ts";
import { referenceLogits } from "./reference.ts";

const gpu = await sharedGpu();
const made = mkdtempSync(join(tmpdir(), "ingot-decoder-classifiers-"));
afterAll(() => rmSync(made, { recursive: true }));

const PAD = 7;
/** The second ends with the token of padding, which transformers passes over. */
const ROWS = [
  [3, 8, 9, 4, 11],
  [21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, PAD, PAD],
  [40, 41, 7, 43],
];
const LASTS = [4, 15, 3];

const textsOf = (rows: readonly (readonly number[])[]) =>
  stackExamples(
    rows.map((ids) => ({ tokens: { ids: Int32Array.from(ids), types: new Int32Array(ids.length) }, label: 0 })),
  );
const tokensOf = (rows: readonly (readonly number[])[]) =>
  collate(rows.map((ids) => [{ ids: Int32Array.from(ids), labels: Int32Array.from(ids), group: 0, place: "" }]));

const filesOf = (json: Json) => new Map([["config.json", new TextEncoder().encode(JSON.stringify(json))]]);

const headed = async (json: Json, head: "sequence" | "tokens", labels: number): Promise<Json> =>
  classifierConfig(json, (await describeConfig(json, "m")).architecture, { head, labels, padding: PAD });

/** A model whose norms and biases are no ones and zeros. */
async function fresh(json: Json): Promise<Model> {
  const model = await Model.fresh(gpu, json, "m", { seed: 4 });
  for (const [i, { parameter }] of model.stored.entries())
    if (parameter.shape.length === 1) parameter.write(normals(i, parameter.size, 0.3));
  return model;
}

async function weightsOf(model: Model): Promise<Map<string, Float64Array>> {
  const weights = new Map<string, Float64Array>();
  for (const [name, parameter] of model.parameters)
    weights.set(name, Float64Array.from(await heldValues(gpu, parameter)));
  return weights;
}

const apart = (found: ArrayLike<number>, wanted: ArrayLike<number>): number => {
  const most = Math.max(...Array.from(wanted, Math.abs));
  return Math.max(...Array.from(wanted, (x, i) => Math.abs(x - found[i]!))) / most;
};

const REFERENCED = { ...TINY_TEXT, ...TINY_NEOX };

describe.each(Object.keys(REFERENCED).filter((name) => name !== "gpt2"))("%s against float64", (name) => {
  const json = REFERENCED[name]!;
  const isNeox = json.model_type === "gpt_neox";

  test("one number for every text, from its last token", async () => {
    const given = await headed(json, "sequence", 1);
    const model = await fresh(given);
    const weights = await weightsOf(model);
    const head = weights.get("score.weight")!;
    const alone = new Map([...weights, [isNeox ? "embed_out.weight" : "lm_head.weight", head]]);
    const reference = ROWS.map(
      (ids, i) =>
        referenceLogits({ ...json, vocab_size: 1, tie_word_embeddings: false }, alone, { ids: [ids] })[LASTS[i]!]!,
    );
    expect(apart(await logitsOf(gpu, model, textsOf(ROWS)), reference)).toBeLessThan(1e-5);
    expect(apart(await logitsOf(gpu, model, tokensOf(ROWS)), reference)).toBeLessThan(1e-5);
    model.free();
  });
});

const DECODERS = { ...TINY_TEXT, ...TINY_NEOX, ...TINY_DECODERS, ...TINY_DELTA, ...TINY_EXPERTS };

describe.each(Object.keys(DECODERS))("%s", (name) => {
  const json = DECODERS[name]!;

  test("padding and other rows change nothing; the head is all that differs from the language model", async () => {
    const model = await fresh(await headed(json, "sequence", 3));
    const together = await logitsOf(gpu, model, textsOf(ROWS));
    expect(together.length).toBe(9);
    const alone = await logitsOf(gpu, model, textsOf([ROWS[0]!]));
    expect(apart(together.subarray(0, 3), alone)).toBeLessThan(2e-6);
    // With further padding: the second row is longer.
    expect(apart(together.subarray(3, 6), alone)).toBeGreaterThan(1e-4);
    const own = [...model.parameters.keys()].filter((each) => !each.startsWith("score."));
    const { architecture, config } = await describeConfig(json, "m");
    const wanted = architecture.parameters(config).map((spec) => spec.name);
    expect(own).toEqual(wanted.filter((each) => !/^(lm_head|embed_out)\./.test(each)));
    expect(model.parameters.get("score.weight")!.shape).toEqual([3, model.sizes.width]);
    model.free();
  });
});

test("last tokens are found as transformers finds them", () => {
  expect([...lastPlaces(tokensOf([...ROWS, [PAD, PAD]]), PAD)]).toEqual([4, 24 + 15, 48 + 3, 72]);
  expect([...lastPlaces(textsOf(ROWS), undefined)]).toEqual([4, 24 + 17, 48 + 3]);
});

test.each([
  ["llama", "LlamaForSequenceClassification"],
  ["gpt2", "GPT2ForSequenceClassification"],
  ["qwen3", "Qwen3ForSequenceClassification"],
  ["gpt_neox", "GPTNeoXForSequenceClassification"],
  ["gemma3_text", "Gemma3TextForSequenceClassification"],
])("the config of a reward model of %s is that of %s", async (name, className) => {
  const json = await headed(DECODERS[name]!, "sequence", 1);
  expect(json).toMatchObject({
    architectures: [className],
    num_labels: 1,
    id2label: { "0": "LABEL_0" },
    label2id: { LABEL_0: 0 },
    pad_token_id: PAD,
  });
  const { architecture, sizes } = await describeConfig(json, "m");
  expect([architecture.task, architecture.className, sizes.outputs]).toEqual(["classifier", className, 1]);
});

test("a head for tokens has a bias, and its own name in GPT-2 and GPT-NeoX", async () => {
  for (const [name, module] of [
    ["llama", "score"],
    ["gpt2", "classifier"],
    ["gpt_neox", "classifier"],
  ] as const) {
    const json = await headed(DECODERS[name]!, "tokens", 2);
    const model = await fresh(json);
    expect(model.task).toBe("token-classifier");
    expect([...model.parameters.keys()].slice(-2)).toEqual([`${module}.weight`, `${module}.bias`]);
    expect((await logitsOf(gpu, model, tokensOf(ROWS))).length).toBe(3 * 24 * 2);
    model.free();
  }
});

test("saved and loaded it says the same, to the last bit; a head of a file of a language model is drawn by seed", async () => {
  const lm = await fresh(TINY_TEXT.llama!);
  const config = { ...TINY_TEXT.llama!, architectures: ["LlamaForCausalLM"] };
  await saveModel(lm, join(made, "lm/"), { files: filesOf(config), lineage: [] });
  lm.free();
  const checkpoint = await open(join(made, "lm"));
  const json = await headed(configOf(checkpoint), "sequence", 1);
  const drawn = await withConfig(checkpoint, json, 5);
  expect(drawn.tensors.has("lm_head.weight")).toBe(false);
  const model = await Model.load(gpu, drawn);
  const scores = await logitsOf(gpu, model, textsOf(ROWS));
  expect(new Set(scores).size).toBe(3);
  await saveModel(model, join(made, "rm/"), { files: drawn.files, lineage: [] });
  model.free();
  expect(JSON.parse(readFileSync(join(made, "rm/config.json"), "utf8")).architectures).toEqual([
    "LlamaForSequenceClassification",
  ]);
  const saved = await open(join(made, "rm"));
  expect([...saved.tensors.keys()].at(-1)).toBe("score.weight");
  const again = await Model.load(gpu, saved);
  expect(await logitsOf(gpu, again, textsOf(ROWS))).toEqual(scores);
  again.free();
  const other = await Model.load(gpu, await withConfig(checkpoint, json, 6));
  expect(await logitsOf(gpu, other, textsOf(ROWS))).not.toEqual(scores);
  other.free();
});

test("an adapter on a language model holds the head, and makes it a classifier where it is applied", async () => {
  const base = await open(join(made, "lm"));
  const drawn = await withConfig(base, await headed(configOf(base), "sequence", 1), 5);
  const adapted = await Model.load(gpu, drawn, { lora: { rank: 2, alpha: 4, seed: 1 } });
  const { entries, whole } = loraOf(adapted);
  expect([...whole.keys()]).toEqual(["score.weight"]);
  for (const [i, { b }] of [...entries.values()].entries()) b.write(normals(i, b.size, 0.1));
  const wanted = await logitsOf(gpu, adapted, textsOf([ROWS[0]!, ROWS[2]!]));
  await saveModel(adapted, join(made, "adapter/"), { files: drawn.files, lineage: [] });
  adapted.free();
  expect(JSON.parse(readFileSync(join(made, "adapter/adapter_config.json"), "utf8"))).toMatchObject({
    task_type: "SEQ_CLS",
    modules_to_save: ["score"],
  });
  const applied = await applyAdapter(base, await openPlain(join(made, "adapter")));
  expect(configOf(applied)).toMatchObject({ architectures: ["LlamaForSequenceClassification"], num_labels: 1 });
  const merged = await Model.load(gpu, applied);
  expect(apart(await logitsOf(gpu, merged, textsOf([ROWS[0]!, ROWS[2]!])), wanted)).toBeLessThan(1e-5);
  merged.free();
  base.close();
});

test("a part of a model of several parts has no such head", async () => {
  const json = {
    model_type: "gemma3",
    text_config: { ...TINY_DECODERS.gemma3_text },
    architectures: ["Gemma3ForSequenceClassification"],
  };
  expect(describeConfig(json, "m")).rejects.toThrow("gemma3 has a head that tells classes apart");
});
