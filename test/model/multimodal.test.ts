/** Models of several parts run their text part as the plain model, and keep the rest byte for byte. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { applyAdapter, mergeOnCpu } from "../../src/checkpoint/adapter/adapter.ts";
import { open, openPlain } from "../../src/checkpoint/open.ts";
import { collate } from "../../src/data/batch.ts";
import type { Json } from "../../src/model/architecture.ts";
import type { DecoderConfig } from "../../src/model/blocks/decoder-config.ts";
import { describeConfig } from "../../src/model/description.ts";
import { Model } from "../../src/model/model.ts";
import { saveModel } from "../../src/model/save.ts";
import { logitsOf } from "../golden/formats/train.ts";
import { writeTensors } from "../support/clip.ts";
import { sharedGpu } from "../support/gpu.ts";
import { loraOf } from "../support/lora.ts";
import { besideText, LAYOUTS, type LayoutName, tensorBytes, wrapModel } from "../support/multimodal.ts";
import { normals } from "../support/random.ts";

const gpu = await sharedGpu();
const made = mkdtempSync(join(tmpdir(), "ingot-multimodal-"));
afterAll(() => rmSync(made, { recursive: true }));

const golden = (name: string) => join(import.meta.dir, "../golden/train-next", name);
const IDS = Int32Array.of(1, 5, 7, 2, 9, 30, 0, 3, 3, 8, 12);
const BATCH = collate([[{ ids: IDS, labels: IDS, group: 0, place: "0" }]], { buckets: "none" });
const gemma3 = (text: Json): Json => ({ model_type: "gemma3", text_config: text, vision_config: { hidden_size: 6 } });

async function logits(folder: string): Promise<Float32Array> {
  const checkpoint = await open(folder);
  const model = await Model.load(gpu, checkpoint);
  const found = await logitsOf(gpu, model, BATCH);
  model.free();
  checkpoint.close();
  return found;
}

/** Whether PEFT adapts a module: a pattern matches all of a name, a list has it or its end. */
const isTarget = (targets: string | readonly string[], name: string): boolean =>
  typeof targets === "string"
    ? new RegExp(`^(?:${targets})$`).test(name)
    : targets.some((target) => name === target || name.endsWith(`.${target}`));

const plain = await logits(golden("gemma3_text"));

describe.each(Object.keys(LAYOUTS) as LayoutName[])("%s", async (layout) => {
  const wrapped = join(made, layout);
  await wrapModel(golden("gemma3_text"), `${wrapped}/`, layout, gemma3);
  const place = LAYOUTS[layout];

  test("gives the logits of the plain model, and says what it carries", async () => {
    const checkpoint = await open(wrapped);
    const said: string[] = [];
    const model = await Model.load(gpu, checkpoint, { warn: (text) => said.push(text) });
    expect(await logitsOf(gpu, model, BATCH)).toEqual(plain);
    const before = layout.startsWith("model.") ? "model." : "";
    const parts = `${before}vision_tower, ${before}multi_modal_projector`;
    expect(said).toEqual([
      `${wrapped} is a gemma3, of which the text part (gemma3_text) runs; 4 tensors of ${parts} (79 parameters) are carried through as they are`,
    ]);
    const own = await openPlain(golden("gemma3_text"));
    expect([...model.parameters.keys()].sort()).toEqual([...own.tensors.keys()].map(place).sort());
    own.close();
    model.free();
    checkpoint.close();
  });

  test("saves everything in the order and under the names of the file, the rest byte for byte", async () => {
    const checkpoint = await open(wrapped);
    const model = await Model.load(gpu, checkpoint);
    const changed = place("model.norm.weight");
    model.parameters.get(changed)!.write(normals(7, 16));
    const target = join(made, `${layout}-saved`);
    await saveModel(model, `${target}/`, { files: checkpoint.files, lineage: [] });
    model.free();
    const saved = await openPlain(target);
    expect([...saved.tensors.keys()]).toEqual([...checkpoint.tensors.keys()]);
    expect(saved.files.get("config.json")).toEqual(checkpoint.files.get("config.json")!);
    for (const { name, dtype, shape } of checkpoint.tensors.values()) {
      expect([saved.tensors.get(name)!.dtype, saved.tensors.get(name)!.shape]).toEqual([dtype, shape]);
      const [now, then] = [await tensorBytes(saved, name), await tensorBytes(checkpoint, name)];
      expect([name, Buffer.compare(now, then) === 0]).toEqual([name, name !== changed]);
    }
    for (const [name, bytes] of besideText(layout)) expect(await tensorBytes(saved, name)).toEqual(bytes);
    saved.close();
    checkpoint.close();
  });

  test("an adapter names the text part's modules, and PEFT finds these alone", async () => {
    const checkpoint = await open(wrapped);
    const lora = { rank: 2, alpha: 4, seed: 1 } as const;
    const model = await Model.load(gpu, checkpoint, { lora });
    for (const [i, { b }] of [...loraOf(model).entries.values()].entries()) b.write(normals(i, b.size, 0.1));
    const wanted = await logitsOf(gpu, model, BATCH);
    const target = join(made, `${layout}-adapter`);
    await saveModel(model, `${target}/`, { files: checkpoint.files, lineage: [] });
    model.free();
    const adapter = await openPlain(target);
    const modules = [...new Set([...adapter.tensors.keys()].map((name) => name.replace(/\.lora_[AB]\.weight$/, "")))];
    expect(modules.length).toBe(49);
    expect(modules).toContain(`base_model.model.${place("model.layers.3.mlp.down_proj")}`);
    const { target_modules } = JSON.parse(new TextDecoder().decode(adapter.files.get("adapter_config.json")));
    const found = [...checkpoint.tensors.keys()]
      .map((name) => name.replace(/\.weight$/, ""))
      .filter((name) => isTarget(target_modules, name));
    expect(found.map((name) => `base_model.model.${name}`).sort()).toEqual(modules.sort());

    const merged = await Model.load(gpu, await applyAdapter(checkpoint, adapter));
    const again = await logitsOf(gpu, merged, BATCH);
    for (const [i, x] of again.entries()) expect(Math.abs(x - wanted[i]!)).toBeLessThan(1e-4);
    merged.free();
    adapter.close();
    checkpoint.close();
  });
});

test("an adapter that was made under the other prefix fits", async () => {
  const base = join(made, "language_model.model");
  const wanted = await open(`${base}+${join(made, "language_model.model-adapter")}`);
  const found = await open(`${base}+${join(made, "model.language_model-adapter")}`);
  expect([...found.tensors.values()].filter(({ patch }) => patch).map(({ name }) => name)).toEqual(
    [...wanted.tensors.values()].filter(({ patch }) => patch).map(({ name }) => name),
  );
  found.close();
  wanted.close();
});

test("what an adapter changes in another part is changed in the result", async () => {
  const name = "vision_tower.encoder.layers.0.self_attn.q_proj";
  const factor = (part: "A" | "B", shape: readonly number[]) =>
    [`base_model.model.${name}.lora_${part}.weight`, { shape, values: normals(9, shape[0]! * shape[1]!) }] as const;
  const config = { peft_type: "LORA", r: 2, lora_alpha: 4, target_modules: ["q_proj"] };
  await writeTensors(join(made, "of-tower/"), new Map([factor("A", [2, 5]), factor("B", [6, 2])]), {
    "adapter_config.json": JSON.stringify(config),
  });
  const changed = await open(`${join(made, "language_model.model")}+${join(made, "of-tower")}`);
  const wanted = await mergeOnCpu(changed.tensors.get(`${name}.weight`)!);
  const model = await Model.load(gpu, changed);
  await saveModel(model, join(made, "tower-changed/"), { files: changed.files, lineage: [] });
  model.free();
  const saved = await openPlain(join(made, "tower-changed"));
  const bytes = await tensorBytes(saved, `${name}.weight`);
  expect(new Float32Array(bytes.buffer)).toEqual(wanted);
  expect(bytes).not.toEqual(besideText("language_model.model").get(`${name}.weight`)!);
  const other = "vision_tower.encoder.layers.0.mlp.down_proj.weight";
  expect(await tensorBytes(saved, other)).toEqual(besideText("language_model.model").get(other)!);
  saved.close();
  changed.close();
});

test("an untied head is found under either prefix", async () => {
  const llava = (text: Json): Json => ({
    model_type: "llava",
    text_config: { ...text, tie_word_embeddings: undefined },
  });
  for (const layout of ["language_model.model", "model.language_model"] as const) {
    const wrapped = join(made, `llava-${layout}`);
    await wrapModel(golden("llama-bias"), `${wrapped}/`, layout, llava);
    expect(await logits(wrapped)).toEqual(await logits(golden("llama-bias")));
  }
});

describe("config.json", () => {
  const described = (json: Json) => describeConfig(json, "m");
  const sizes = {
    hidden_size: 24,
    intermediate_size: 40,
    num_hidden_layers: 4,
    num_attention_heads: 3,
    vocab_size: 50,
  };

  test("what a nested config leaves out is the default of its class: Gemma 3 4B, LLaVA 1.5", async () => {
    const count = async (json: Json) => {
      const { architecture, config } = await described(json);
      return architecture.parameters(config).reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b), 0);
    };
    const gemma = {
      ...{ model_type: "gemma3_text", hidden_size: 2560, intermediate_size: 10_240, num_hidden_layers: 34 },
      ...{ sliding_window: 1024, rope_scaling: { factor: 8, rope_type: "linear" } },
    };
    expect(await count({ model_type: "gemma3", text_config: gemma, vision_config: {} })).toBe(3_880_263_168);
    const vicuna = { model_type: "llama", max_position_embeddings: 4096, rms_norm_eps: 1e-5, vocab_size: 32_064 };
    expect(await count({ model_type: "llava", text_config: vicuna, vision_config: {} })).toBe(6_738_939_904);
  });

  test("the weights' dtype is that of the whole: Gemma rounds the factor of its embeddings to it", async () => {
    const factor = async (outer: Json, inner: Json) => {
      const text_config = { ...sizes, num_key_value_heads: 1, ...inner, model_type: "gemma3_text" };
      const { config } = await described({ model_type: "gemma3", text_config, ...outer });
      return (config as DecoderConfig).multipliers.embedding;
    };
    expect(await factor({}, {})).toBeCloseTo(Math.sqrt(24), 6);
    expect(await factor({ torch_dtype: "bfloat16" }, {})).toBe(4.90625);
    expect(await factor({ torch_dtype: "bfloat16" }, { dtype: "float32" })).toBeCloseTo(Math.sqrt(24), 6);
  });

  test("positions of three parts are one for text: Qwen2-VL, Qwen2.5-VL and Qwen3-VL", async () => {
    const mrope = { type: "mrope", mrope_section: [16, 24, 24] };
    const own = { rope_theta: 1e6, num_key_value_heads: 3, max_position_embeddings: 128 };
    const { config: wanted } = await described({ ...sizes, ...own, model_type: "qwen2" });
    for (const json of [
      { model_type: "qwen2_vl", ...sizes, ...own, rope_scaling: mrope, vision_config: { depth: 2 } },
      {
        model_type: "qwen2_5_vl",
        ...sizes,
        ...own,
        text_config: { model_type: "qwen2_5_vl_text", rope_scaling: mrope },
      },
    ])
      expect((await described(json)).config).toEqual(wanted);
    const { architecture } = await described({
      model_type: "qwen3_vl",
      text_config: {
        ...{ ...sizes, num_key_value_heads: 1, model_type: "qwen3_vl_text" },
        rope_scaling: { mrope_interleaved: true, mrope_section: [2, 1, 1], rope_type: "default" },
      },
    });
    expect(architecture.name).toBe("qwen3");
  });

  test("the whole model's word on the head counts where its text part says none", async () => {
    const tied = async (outer: Json, inner: Json) => {
      const text_config = { ...sizes, ...inner, model_type: "llama" };
      return ((await described({ model_type: "llava", text_config, ...outer })).config as DecoderConfig).tied;
    };
    expect(await tied({ tie_word_embeddings: true }, {})).toBe(true);
    expect(await tied({ tie_word_embeddings: true }, { tie_word_embeddings: false })).toBe(false);
    expect(await tied({}, {})).toBe(false);
  });

  test("a text part that is not known is named, and one that computes otherwise is refused", async () => {
    await expect(described({ model_type: "llama4", text_config: { model_type: "llama4_text" } })).rejects.toThrow(
      'm: config.json: text_config: model_type "llama4_text" is not known',
    );
    await expect(described({ model_type: "sphinx", text_config: sizes })).rejects.toThrow(
      "m: config.json: text_config: model_type is missing, so the architecture is not known",
    );
    const pali = { model_type: "paligemma", text_config: { ...sizes, model_type: "gemma2" } };
    await expect(described(pali)).rejects.toThrow(
      "m: config.json: paligemma lets the tokens of a prompt see later ones, and its text part cannot be run alone here",
    );
  });

  test("a checkpoint without a text part says where it was looked for", async () => {
    const json = { model_type: "llava", text_config: { ...sizes, model_type: "llama" } };
    await expect(describeConfig(json, "m", undefined, { files: new Map(), tensors: new Map() })).rejects.toThrow(
      "m has no tensor language_model.model.embed_tokens.weight or model.language_model.embed_tokens.weight or",
    );
  });
});
