import { describe, expect, test } from "bun:test";
import type { Checkpoint } from "../../../src/checkpoint/checkpoint.ts";
import { parseRecipe } from "../../../src/checkpoint/lineage/recipe/read-recipe.ts";
import { recipeReferences } from "../../../src/checkpoint/lineage/recipe/recipe.ts";
import { referenceKey } from "../../../src/checkpoint/reference.ts";
import { UserError } from "../../../src/errors.ts";
import type { ValuedTask } from "../../../src/merge/job/task.ts";
import { type MergePlan, type PlanOptions, planMerge } from "../../../src/merge/plan/merge-plan.ts";
import { planBytes } from "../../../src/merge/plan/plan-bytes.ts";
import { checkpoint, decoder, type FakeMethod, METHODS } from "./fixtures.ts";

/** Plans a recipe over checkpoints that are named as in it. */
async function plan(
  text: string,
  models: Checkpoint[],
  options: PlanOptions = {},
  method?: FakeMethod,
): Promise<MergePlan> {
  const [recipe] = await parseRecipe(text, "r.yml");
  const byKey = new Map(models.map((model) => [referenceKey({ path: model.ref }), model]));
  for (const ref of recipeReferences(recipe!)) expect(byKey.has(referenceKey(ref))).toBe(true);
  return planMerge(recipe!, byKey, method ?? METHODS.get(recipe!.method)!, options);
}

const refusal = async (planned: Promise<MergePlan>): Promise<UserError> => {
  const error = await planned.then(
    () => undefined,
    (cause: unknown) => cause,
  );
  if (error instanceof UserError) return error;
  throw error ?? new Error("accepted");
};

const get = (from: MergePlan, name: string): ValuedTask => from.tensors.find((tensor) => tensor.name === name)!;
const names = (from: MergePlan): string[] => from.tensors.map(({ name }) => name);
const config = (from: MergePlan): Record<string, unknown> =>
  JSON.parse(new TextDecoder().decode(from.files.get("config.json")));
const recipe = (method: string, models: string[], more = ""): string =>
  `merge_method: ${method}\n${more}\nmodels:\n${models.map((model) => `- model: ${model}`).join("\n")}\n`;
const weighted = (...models: string[]) => models.map((model) => `${model}\n  parameters: {weight: 1}`);

const HEAD = "lm_head.weight";
const TABLE = "model.embed_tokens.weight";
const tied = { "config.json": { model_type: "llama", num_hidden_layers: 1, tie_word_embeddings: true, vocab_size: 8 } };

function without(model: Checkpoint, ...dropped: string[]): Checkpoint {
  return { ...model, tensors: new Map([...model.tensors].filter(([name]) => !dropped.includes(name))) };
}

describe("the base", () => {
  test("is the origin of task vectors, whether it is listed or not", async () => {
    const models = ["a", "b", "c"].map((ref) => decoder(ref, 1));
    const apart = await plan(recipe("ties", weighted("a", "b"), "base_model: c"), models);
    const listed = await plan(recipe("ties", ["c", ...weighted("a", "b")], "base_model: ./c/"), models);
    for (const { tensors, models: refs } of [apart, listed]) {
      const table = tensors.find(({ name }) => name === TABLE)!;
      expect(table.base).toBe(models[2]!.tensors.get(TABLE)!);
      expect(table.models).toEqual([models[0]!.tensors.get(TABLE)!, models[1]!.tensors.get(TABLE)!]);
      expect(table.modelIndex).toEqual([0, 1]);
      expect(refs).toEqual(["a", "b", "c"]);
    }
  });

  test("is one more model of linear, and needs a weight", async () => {
    const models = ["a", "b"].map((ref) => decoder(ref, 1));
    const all = await plan(recipe("linear", ["a", "b"], "base_model: b\nparameters: {weight: 0.5}"), models);
    expect(get(all, TABLE).models.length).toBe(2);
    const error = await refusal(plan(recipe("linear", weighted("a"), "base_model: b"), models));
    expect(error.message).toBe(`linear needs weight for b: ${TABLE}`);
    expect(error.hint).toBe("give it with --weight, one value per model, or under the model's parameters");
  });

  test("must be there for methods that need it, and not for those without use for it", async () => {
    const models = ["a", "b"].map((ref) => decoder(ref, 1));
    const ties = await refusal(plan(recipe("ties", weighted("a", "b")), models));
    expect(ties.message).toBe("ties needs a base model");
    const karcher = await refusal(plan(recipe("karcher", ["a"], "base_model: b"), models));
    expect(karcher.message).toBe("karcher takes no base, found b");
    expect(get(await plan(recipe("karcher", ["a", "b"], "base_model: b"), models), TABLE).models.length).toBe(2);
    const slices = "merge_method: ties\nbase_model: b\nslices:\n- sources: [{model: a, layer_range: [0, 1]}]\n";
    expect((await refusal(plan(slices, models))).message).toBe(
      "slice 1: the base b is not among the sources, and ties needs it",
    );
  });

  test("leaves as many models as the method merges", async () => {
    const models = ["a", "b", "c"].map((ref) => decoder(ref, 1));
    const three = await refusal(plan(recipe("slerp", ["a", "b", "c"], "base_model: a\nparameters: {t: 0.5}"), models));
    expect(three.message).toBe("slerp merges 1 model besides the base, found 2: b, c");
    const one = await refusal(plan(recipe("nuslerp", weighted("a")), models));
    expect(one.message).toBe("nuslerp merges 2 models, found 1: a");
    const alone = await refusal(plan(recipe("model_stock", ["a", "b"], "base_model: a"), models));
    expect(alone.message).toBe("model_stock merges at least 2 models besides the base, found 1: b");
  });
});

describe("a model listed twice", () => {
  const text =
    "merge_method: linear\nmodels:\n- {model: a, parameters: {weight: 0.1}}\n- {model: a/, parameters: {weight: 1}}\n";

  test("counts once, with the weight given last, and a warning", async () => {
    const once = await plan(text, [decoder("a", 1)]);
    expect(get(once, TABLE).perModel).toEqual([{ weight: 1 }]);
    expect(once.warnings).toEqual([
      "a is listed more than once; it counts once, with the parameters given last (--allow-duplicates counts all)",
    ]);
  });

  test("counts twice when asked to", async () => {
    const twice = await plan(text, [decoder("a", 1)], { allowDuplicates: true });
    expect(get(twice, TABLE).perModel).toEqual([{ weight: 0.1 }, { weight: 1 }]);
    expect(get(twice, TABLE).modelIndex).toEqual([0, 1]);
    expect(twice.models).toEqual(["a", "a"]);
  });

  test("counts once in a slice too, with the layers given last", async () => {
    const sliced =
      "merge_method: linear\nslices:\n- sources:\n  - {model: a, layer_range: [0, 1], parameters: {weight: 3}}\n  - {model: a, layer_range: [1, 2], parameters: {weight: 1}}\n";
    const once = await plan(sliced, [decoder("a", 2)]);
    const norm = get(once, "model.layers.0.norm.weight");
    expect(norm.models.map(({ name }) => name)).toEqual(["model.layers.1.norm.weight"]);
    expect(norm.perModel).toEqual([{ weight: 1 }]);
    expect(once.warnings).toEqual([
      "slice 1: a is listed more than once; it counts once, with the layers and parameters given last (--allow-duplicates counts all)",
    ]);
    const twice = await plan(sliced, [decoder("a", 2)], { allowDuplicates: true });
    expect(get(twice, "model.layers.0.norm.weight").perModel).toEqual([{ weight: 3 }, { weight: 1 }]);
  });
});

describe("tensors that not all models have", () => {
  test("a head that is tied is read from the embedding, and the output is untied", async () => {
    const bound = without(decoder("a", 1, tied), HEAD);
    const free = decoder("b", 1);
    const merged = await plan(recipe("linear", weighted("a", "b")), [bound, free]);
    expect(get(merged, HEAD).models.map(({ name }) => name)).toEqual([TABLE, HEAD]);
    expect(config(merged).tie_word_embeddings).toBe(false);
    const both = await plan(recipe("linear", weighted("a", "c")), [bound, { ...bound, ref: "c" }]);
    expect(names(both)).not.toContain(HEAD);
    expect(config(both).tie_word_embeddings).toBe(true);
  });

  test("buffers may be in some models only", async () => {
    const frequencies = { "model.layers.0.rotary_emb.inv_freq": [2], steps: ["I64", []] as const };
    const merged = await plan(recipe("linear", weighted("a", "b")), [
      decoder("a", 1, {}, frequencies),
      decoder("b", 1),
    ]);
    expect(names(merged)).toContain("steps");
  });

  test("an encoder-decoder's copies of its shared table stand for it, and are made as it is", async () => {
    const [shared, encoder, decoderTable] = ["shared", "encoder.embed_tokens", "decoder.embed_tokens"].map(
      (name) => `${name}.weight`,
    ) as [string, string, string];
    const files = { "config.json": { model_type: "t5" } };
    const one = (ref: string, ...held: string[]) =>
      checkpoint(ref, { ...Object.fromEntries(held.map((name) => [name, [8, 4]])), "encoder.norm.weight": [4] }, files);
    const whole = (ref: string) => one(ref, shared, encoder, decoderTable);
    const text = recipe("dare_ties", weighted("a", "b"), "base_model: base\nparameters: {density: 0.5}");
    const merged = await plan(text, [whole("base"), one("a", shared), one("b", encoder)]);
    for (const name of [shared, encoder, decoderTable]) {
      expect(get(merged, name).models.map((entry) => entry.name)).toEqual([shared, encoder]);
    }
  });

  test("copies of tied tensors take the parameters and random numbers of their original", async () => {
    const models = ["base", "a"].map((ref) => decoder(ref, 1, tied));
    const filtered = "base_model: base\nparameters: {weight: [{filter: lm_head, value: 3}, {value: 1}], density: 0.5}";
    const merged = await plan(recipe("dare_ties", ["a"], filtered), models);
    expect([get(merged, HEAD).copyOf, get(merged, TABLE).copyOf]).toEqual([TABLE, undefined]);
    expect(get(merged, HEAD).perModel).toEqual(get(merged, TABLE).perModel);
    const free = ["base", "a"].map((ref) => decoder(ref, 1));
    const apart = await plan(recipe("dare_ties", ["a"], filtered), free);
    expect([get(apart, HEAD).copyOf, get(apart, HEAD).perModel]).toEqual([undefined, [{ weight: 3, density: 0.5 }]]);
  });

  test("are merged from those that do", async () => {
    const extra = { "model.layers.0.bias": [4] };
    const models = [decoder("a", 1, {}, extra), decoder("b", 1), decoder("c", 1, {}, extra)];
    const text = recipe("linear", weighted("a", "b", "c"));
    const refused = await refusal(plan(text, models));
    expect(refused.message).toBe("b lacks model.layers.0.bias, which a has");
    expect(refused.hint).toBe("is it whole? --allow-missing makes such tensors from the models that have them");
    const merged = await plan(text, models, { allowMissing: true });
    expect(get(merged, "model.layers.0.bias").modelIndex).toEqual([0, 2]);
    expect(merged.warnings).toEqual(["b lacks it and is left out: model.layers.0.bias"]);
  });

  test("are copied when there is no task vector, or too few models", async () => {
    const models = [decoder("base", 1, {}, { only_base: [3] }), decoder("a", 1, {}, { only_a: [3] })];
    const text = recipe("ties", weighted("a"), "base_model: base\nout_dtype: bfloat16");
    expect((await refusal(plan(text, models))).message).toBe("a lacks only_base, which base has");
    const more = [without(models[0]!, "only_base"), models[1]!];
    expect((await refusal(plan(text, more))).message).toBe("base lacks only_a, which a has");
    const merged = await plan(text, models, { allowMissing: true });
    const [fromBase, fromModel] = [get(merged, "only_base"), get(merged, "only_a")];
    expect([fromBase.kind, fromBase.base?.name, fromBase.models]).toEqual(["copy", "only_base", []]);
    expect([fromModel.kind, fromModel.base, fromModel.models[0]?.name]).toEqual(["copy", undefined, "only_a"]);
    expect(fromBase.outDtype).toBe("BF16");
    expect(merged.warnings).toContain("the base lacks it, taken from a unchanged: only_a");
  });

  test("integers and constants are copied in their type", async () => {
    const more = {
      position_ids: ["I64", [1, 4]] as const,
      "model.layers.0.rotary_emb.inv_freq": [2],
      steps: ["I64", []] as const,
      scale: ["F8_E8M0", [4]] as const,
    };
    const models = [decoder("a", 1, {}, more), decoder("b", 1, {}, more)];
    const merged = await plan(recipe("linear", weighted("a", "b"), "dtype: bfloat16"), models);
    const copies = merged.tensors.filter(({ kind }) => kind === "copy");
    expect(copies.map(({ name, outDtype, models: from }) => [name, outDtype, from.length])).toEqual([
      ["position_ids", "I64", 1],
      ["model.layers.0.rotary_emb.inv_freq", "F32", 1],
      ["steps", "I64", 1],
      ["scale", "F8_E8M0", 1],
    ]);
  });
});

describe("types without arithmetic", () => {
  const with4 = (ref: string, shape: readonly number[], dtype: "F4" | "F32" = "F4") =>
    decoder(ref, 1, {}, { codes: [dtype, shape] });

  test("are copied from the first model with a word", async () => {
    const merged = await plan(recipe("linear", weighted("a", "b")), [with4("a", [4]), with4("b", [4])]);
    const { kind, outDtype, twins } = get(merged, "codes");
    expect([kind, outDtype, twins?.map(({ ref }) => ref)]).toEqual(["copy", "F4", ["b"]]);
    expect(merged.warnings).toEqual(["F4 has no arithmetic here, copied from a: codes"]);
  });

  test("are refused where types or shapes differ, whichever model has them", async () => {
    const types = "codes is F4 in a but F32 in b";
    const text = recipe("linear", weighted("a", "b"));
    expect((await refusal(plan(text, [with4("a", [4]), with4("b", [4], "F32")]))).message).toBe(types);
    const other = plan(text, [with4("a", [4], "F32"), with4("b", [4])]);
    expect((await refusal(other)).message).toBe("codes is F32 in a but F4 in b");
    const shapes = (await refusal(plan(text, [with4("a", [4]), with4("b", [8])]))).message;
    expect(shapes).toBe("codes is (4) in a but (8) in b");
  });
});

describe("tensors of different shape", () => {
  const tall = (ref: string, rows: number) => decoder(ref, 1, {}, { [TABLE]: [rows, 4], [HEAD]: [rows, 4] });

  test("embeddings are cut to the base by methods with task vectors", async () => {
    const models = [tall("base", 8), tall("a", 10), tall("b", 6)];
    const merged = await plan(recipe("ties", weighted("a", "b"), "base_model: base"), models);
    const table = get(merged, TABLE);
    expect([table.shape, table.crop, table.modelIndex.map((i) => merged.models[i])]).toEqual([
      [8, 4],
      { rows: 8, columns: 4 },
      ["a"],
    ]);
    expect(merged.warnings).toEqual([
      `a is cut from (10, 4) to the base's (8, 4): ${TABLE} and 1 more`,
      `b is left out, it does not fit: (6, 4) to the base's (8, 4): ${TABLE} and 1 more`,
    ]);
  });

  test("embeddings are cut to the common rows by averages, and config and tokenizer are looked at", async () => {
    const tokenizer = { model: { vocab: Object.fromEntries(Array.from({ length: 8 }, (_, i) => [`t${i}`, i])) } };
    const first = decoder("a", 1, { "tokenizer.json": tokenizer });
    const merged = await plan(recipe("linear", weighted("a", "b")), [first, tall("b", 6)]);
    expect(get(merged, HEAD).shape).toEqual([6, 4]);
    expect(config(merged).vocab_size).toBe(6);
    expect(merged.warnings).toContain("the tokenizer of a has 8 tokens but the merged embedding only 6 rows");
    // 6 of 8 rows are read of the first model's two tables.
    expect(planBytes(merged).output).toBe((2 * 24 + 24 + 4 + 4) * 4);
    expect(planBytes(merged).input).toBe(2 * planBytes(merged).output);
  });

  test("other tensors are an error for averages", async () => {
    const other = decoder(
      "b",
      1,
      { "config.json": { model_type: "mistral" } },
      { "model.layers.0.mlp.up_proj.weight": [7, 4] },
    );
    const error = await refusal(plan(recipe("linear", weighted("a", "b")), [decoder("a", 1), other]));
    expect(error.message).toBe("model.layers.0.mlp.up_proj.weight is (6, 4) in a but (7, 4) in b");
    expect(error.hint).toBe("these are different architectures (llama, mistral); merge needs one");
  });

  test("a model is left out of a task-vector method where it does not fit", async () => {
    const name = "model.layers.0.mlp.up_proj.weight";
    const models = [decoder("base", 1), decoder("a", 1, {}, { [name]: [7, 4] })];
    const merged = await plan(recipe("ties", weighted("a"), "base_model: base"), models);
    expect([get(merged, name).kind, get(merged, name).base?.shape]).toEqual(["copy", [6, 4]]);
    expect(merged.warnings).toEqual([`a is left out, it does not fit: (7, 4) to the base's (6, 4): ${name}`]);
  });

  test("models of different depth are an error", async () => {
    const error = await refusal(plan(recipe("linear", weighted("a", "b")), [decoder("a", 3), decoder("b", 2)]));
    expect(error.message).toBe("model.layers has 3 layers in a but 2 in b");
  });
});

describe("names", () => {
  test("that lack a prefix in one model are matched", async () => {
    const inner = {
      "layers.0.mlp.up_proj.weight": [6, 4],
      "layers.0.norm.weight": [4],
      "norm.weight": [4],
      "embed_tokens.weight": [8, 4],
    };
    const models = [decoder("a", 1), checkpoint("b", inner, tied)];
    const merged = await plan(recipe("linear", weighted("a", "b")), models);
    expect(names(merged)).toEqual([...models[0]!.tensors.keys()]);
    expect(get(merged, "model.norm.weight").models.map(({ name }) => name)).toEqual([
      "model.norm.weight",
      "norm.weight",
    ]);
    expect(merged.warnings).toEqual(["the names of b are matched with those of a with model. before them"]);
    const back = await plan(recipe("linear", weighted("b", "a")), models);
    expect(get(back, "norm.weight").models.length).toBe(2);
  });
});

describe("slices", () => {
  const source = (model: string, range: string, more = "") =>
    `- sources: [{model: ${model}, layer_range: ${range}${more}}]\n`;

  test("count depth from their first to their last layer, and number layers on", async () => {
    const text = `merge_method: passthrough\nslices:\n${source("a", "[0, 3]", ", parameters: {scale: [0, 1]}")}${source("b", "[1, 2]", ", parameters: {scale: [0, 5]}")}`;
    const stacked = await plan(text, [decoder("a", 3), decoder("b", 3)]);
    const scale = (layer: number) => get(stacked, `model.layers.${layer}.norm.weight`).perModel[0]!.scale;
    expect([0, 1, 2, 3].map(scale)).toEqual([0, 0.5, 1, 5]);
    expect(get(stacked, "model.layers.3.norm.weight").models[0]!.name).toBe("model.layers.1.norm.weight");
    expect(get(stacked, "model.layers.3.norm.weight").layer).toBe(3);
    // Before the stack the first slice's first anchor, after it the last slice's.
    expect([TABLE, "model.norm.weight", HEAD].map((name) => get(stacked, name).perModel[0]!.scale)).toEqual([0, 0, 0]);
    expect([TABLE, "model.norm.weight", HEAD].map((name) => stacked.models[get(stacked, name).modelIndex[0]!])).toEqual(
      ["a", "b", "b"],
    );
    expect(names(stacked)[0]).toBe(TABLE);
    expect(names(stacked).slice(-2)).toEqual(["model.norm.weight", HEAD]);
  });

  test("change what the config says per layer", async () => {
    const types = {
      model_type: "x",
      num_hidden_layers: 3,
      layer_types: ["full", "local", "none"],
      rope_theta: 10000.5,
    };
    const text = `merge_method: passthrough\nslices:\n${source("a", "[0, 2]")}${source("a", "[1, 3]")}`;
    const stacked = await plan(text, [decoder("a", 3, { "config.json": types })]);
    expect(config(stacked)).toEqual({
      ...types,
      num_hidden_layers: 4,
      layer_types: ["full", "local", "local", "none"],
    });
  });

  test("must lie inside their models, which must have one stack", async () => {
    const text = `merge_method: passthrough\nslices:\n${source("a", "[0, 1]")}${source("a", "[1, 4]")}`;
    expect((await refusal(plan(text, [decoder("a", 3)]))).message).toBe(
      "slice 2: layer_range [1, 4) goes past the 3 layers of a (model.layers)",
    );
    const two = checkpoint("a", { "encoder.block.0.w": [1], "decoder.block.0.w": [1] });
    const error = await refusal(plan(`merge_method: passthrough\nslices:\n${source("a", "[0, 1]")}`, [two]));
    expect(error.message).toBe("slices need one stack of layers, found encoder.block (1), decoder.block (1) in a");
  });
});

describe("modules", () => {
  const towers = (ref: string) =>
    checkpoint(
      ref,
      {
        "vision_tower.encoder.layers.0.w": [2],
        "vision_tower.encoder.layers.1.w": [2],
        "vision_tower.post_norm.weight": [2],
        "projector.weight": [2, 2],
        "language_model.model.layers.0.w": [2],
        "language_model.model.layers.1.w": [2],
        "language_model.model.layers.2.w": [2],
        "language_model.lm_head.weight": [4, 2],
      },
      { "config.json": { text_config: { num_hidden_layers: 3 }, vision_config: { num_hidden_layers: 2 } } },
    );

  test("have their own inputs, and depth is counted in each", async () => {
    const text = `
merge_method: linear
modules:
  text_decoder:
    models: [{model: a, parameters: {weight: [0, 1]}}, {model: b, parameters: {weight: 1}}]
  vision_tower:
    models: [{model: b}]
    parameters: {weight: 3}
`;
    const merged = await plan(text, [towers("a"), towers("b")]);
    const weights = (name: string) => get(merged, name).perModel.map(({ weight }) => weight);
    expect(weights("language_model.model.layers.1.w")).toEqual([0.5, 1]);
    expect(weights("projector.weight")).toEqual([0, 1]);
    expect(weights("vision_tower.encoder.layers.1.w")).toEqual([3]);
    expect(weights("vision_tower.post_norm.weight")).toEqual([3]);
    expect(names(merged)).toEqual([...towers("a").tensors.keys()]);
  });

  test("of whole models count depth in every tower", async () => {
    const merged = await plan(recipe("linear", weighted("a", "b")), [towers("a"), towers("b")]);
    expect(get(merged, "vision_tower.encoder.layers.1.w").depth).toBe(1);
    expect(get(merged, "language_model.model.layers.1.w").depth).toBe(0.5);
  });

  test("can be cut, and what no module names is copied", async () => {
    const text =
      "merge_method: passthrough\nmodules: {language_model: {slices: [{sources: [{model: a, layer_range: [0, 1]}]}, {sources: [{model: a, layer_range: [0, 3]}]}]}}";
    const cut = await plan(text, [towers("a")]);
    expect(names(cut).filter((name) => name.startsWith("language_model.model")).length).toBe(4);
    expect(get(cut, "vision_tower.encoder.layers.0.w").kind).toBe("copy");
    expect(config(cut)).toEqual({ text_config: { num_hidden_layers: 4 }, vision_config: { num_hidden_layers: 2 } });
    const error = await refusal(plan("merge_method: linear\nmodules: {audio: {models: [{model: a}]}}", [towers("a")]));
    expect(error.message).toBe("module audio matches no layers of a");
  });
});

describe("parameters", () => {
  const models = ["a", "b", "base"].map((ref) => decoder(ref, 2));
  const ties = (parameters: string) =>
    plan(recipe("ties", weighted("a", "b"), `base_model: base\nparameters: ${parameters}`), models);

  test("that no method has are named with what was meant", async () => {
    expect((await ties("{densty: 0.5, int8_mask: true}")).warnings).toEqual([
      "ties has no parameter densty; did you mean density?",
    ]);
    const own = await plan(
      "merge_method: ties\nbase_model: base\nmodels:\n- {model: a, parameters: {weight: 1, lambda: 2}}\n",
      models,
    );
    expect(own.warnings).toEqual([
      "lambda is one value for all models of ties; the one given for a alone has no effect",
    ]);
    expect(get(own, TABLE).values.lambda).toBe(1);
  });

  test("are checked against the method's types", async () => {
    const error = await refusal(ties("{density: 1.5}"));
    expect(error.message).toBe(`density is 1.5 for a: ${TABLE}, expected 0 < number <= 1`);
    expect(error.hint).toBe("fraction kept");
    expect((await refusal(ties("{lambda: .inf}"))).message).toBe(`lambda is Infinity for ${TABLE}, expected number`);
    expect((await refusal(ties("{normalize: maybe}"))).message).toBe(
      `normalize is "maybe" for ${TABLE}, expected boolean`,
    );
  });

  test("may be written as YAML 1.1 writes them", async () => {
    const { values } = get(await ties('{normalize: no, lambda: "1e-1"}'), TABLE);
    expect(values).toEqual({ normalize: false, lambda: 0.1 });
  });

  test("that are required need a filter that matches", async () => {
    const error = await refusal(
      plan(recipe("slerp", ["a"], "base_model: base\nparameters: {t: [{filter: mlp, value: 1}]}"), models),
    );
    expect(error.message).toBe(`slerp needs t for ${TABLE}`);
    expect(error.hint).toBe("no filter of t matches this tensor; add an entry without a filter");
  });

  test("of richer types are left to arktype", async () => {
    const rich: FakeMethod = {
      ...METHODS.get("karcher")!,
      options: {
        ranks: { type: "number[] > 0", help: "ranks" },
        mode: { type: "'sum' | 'count'", default: "sum", help: "mode" },
      },
    };
    const good = await plan(recipe("karcher", ["a"], "parameters: {ranks: [1, 2], mode: count}"), models, {}, rich);
    expect(get(good, TABLE).values).toEqual({ ranks: [1, 2], mode: "count" });
    const error = await refusal(plan(recipe("karcher", ["a"], "parameters: {ranks: [x]}"), models, {}, rich));
    expect(error.message).toBe(`ranks is ["x"] for ${TABLE}, expected number[] > 0`);
    expect((await refusal(plan(recipe("karcher", ["a"], "parameters: {mode: all}"), models, {}, rich))).message).toBe(
      `mode is "all" for ${TABLE}, expected 'sum' | 'count'`,
    );
  });
});

describe("types", () => {
  const bf16 = { [TABLE]: ["BF16", [8, 4]] as const };

  test("are the stored ones unless the recipe says", async () => {
    const models = [decoder("a", 1, {}, bf16), decoder("b", 1)];
    const kinds = async (more: string) => {
      const { outDtype, workDtype } = get(await plan(recipe("linear", weighted("a", "b"), more), models), TABLE);
      return [workDtype, outDtype];
    };
    expect(await kinds("")).toEqual(["BF16", "BF16"]);
    expect(await kinds("dtype: float32")).toEqual(["F32", "F32"]);
    expect(await kinds("dtype: float32\nout_dtype: float16")).toEqual(["F32", "F16"]);
    expect(await kinds("out_dtype: float32")).toEqual(["BF16", "F32"]);
  });

  test("of another type than in the first model are refused", async () => {
    const name = "model.layers.0.mlp.up_proj.weight";
    const mixed = await refusal(
      plan(recipe("linear", weighted("a", "b")), [
        decoder("a", 1),
        decoder("b", 1, {}, { [name]: ["I8", [6, 4]] as const }),
      ]),
    );
    expect(mixed.message).toBe(`${name} is F32 in a but I8 in b`);
  });
});

describe("the files", () => {
  test("are those of the base, the config's text changed only where it must be", async () => {
    const text = '{\n  "rope_theta": 10000.0,\n  "torch_dtype": "float32",\n  "n": "\\"}, {",\n  "vocab_size": 8\n}\n';
    const base = decoder("base", 1, { "config.json": text, "tokenizer.json": "{}", "generation_config.json": "{}" });
    const merged = await plan(recipe("ties", weighted("a"), "base_model: base\ndtype: bfloat16"), [
      base,
      decoder("a", 1),
    ]);
    expect(new TextDecoder().decode(merged.files.get("config.json"))).toBe(text.replace("float32", "bfloat16"));
    expect([...merged.files.keys()]).toEqual(["config.json", "tokenizer.json", "generation_config.json"]);
  });

  test("nothing is revised where no model says which row is which token, and nothing but that is asked", async () => {
    const both = (a: string, b: string) => [
      decoder("base", 1, { "tokenizer.json": a }),
      decoder("a", 1, { "tokenizer.json": b }),
    ];
    const asking = (key: string) => recipe("ties", weighted("a"), `base_model: base\n${key}`);
    for (const key of ["tokenizer_source: base", "tokenizer: { source: union }", "chat_template: auto"])
      await plan(asking(key), both("{}", "{}"));
    for (const [key, a, b] of [
      ["tokenizer_source: union", "{}", "[]"],
      ["tokenizer: {source: base, pad_to_multiple_of: 8}", "{}", "{}"],
    ] as const) {
      const error = await refusal(plan(asking(key), both(a, b)));
      expect(error.message).toContain("has no tokenizer.json that says which row is which token");
    }
  });

  test("of another model go with the result when it is named; what is left out is told", async () => {
    const template = { "chat_template.jinja": "{{ messages }}", "generation_config.json": '{"eos_token_id": 7}' };
    const models = [decoder("base", 1, { "tokenizer.json": "{}" }), decoder("tuned/", 1, template)];
    const text = recipe("ties", weighted("tuned/"), "base_model: base");
    const { warnings, files } = await plan(text, models);
    expect(warnings).toContain(
      "the chat template of tuned/ is left out: files are those of base, which has none; --files tuned/ takes them from there",
    );
    expect(warnings.filter((line) => line.includes("generation_config.json of tuned/"))).toHaveLength(1);
    expect(files.has("chat_template.jinja")).toBe(false);
    const taken = await plan(text, models, { files: "tuned" });
    expect([...taken.files.keys()]).toEqual(["config.json", "chat_template.jinja", "generation_config.json"]);
    expect(taken.warnings).toEqual([]);
    expect((await refusal(plan(text, models, { files: "other" }))).message).toBe(
      "--files other is not among the models",
    );
  });

  test("get a type where the config had none", async () => {
    const bare = await plan(recipe("passthrough", ["a"], "out_dtype: float16"), [
      decoder("a", 1, { "config.json": '{\n "a": 1\n}' }),
    ]);
    expect(new TextDecoder().decode(bare.files.get("config.json"))).toBe('{\n "a": 1,\n "torch_dtype": "float16"\n}');
  });

  test("must hold a config that is an object", async () => {
    const error = await refusal(plan(recipe("passthrough", ["a"]), [decoder("a", 1, { "config.json": "[1]" })]));
    expect(error.message).toBe("config.json of a is not a JSON object");
  });
});

test("tens of thousands of slices are planned: quadratic work would take minutes", async () => {
  const slice = "- sources: [{model: a, layer_range: [0, 1]}, {model: b, layer_range: [1, 2]}]\n";
  const count = 10_000;
  const text = `merge_method: linear\nparameters: {weight: 0.5}\nslices:\n${slice.repeat(count)}`;
  const merged = await plan(text, [decoder("a", 2), decoder("b", 2)]);
  expect(merged.tensors.length).toBe(2 * count + 3);
}, 120_000);

test("a filter that is part of no tensor's name is told, of the base's and of one model's settings", async () => {
  const shape = { "model.layers.0.mlp.weight": [2, 2] };
  const one = (filter: string) => `  parameters: {weight: [{filter: ${filter}, value: 2}, {value: 1}]}`;
  const found = await plan(`merge_method: linear\nmodels:\n- model: a\n${one("mlp")}\n- model: b\n${one("mpl")}\n`, [
    checkpoint("a", shape),
    checkpoint("b", shape),
  ]);
  expect(found.warnings).toEqual(["weight: no tensor has mpl in its name, so the value beside it has no effect"]);
});
