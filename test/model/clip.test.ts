/**
 * CLIP's vision tower in the forms in which it is published: with a projection, without one, and in a whole CLIP. What
 * it computes is held against float64 in architectures.test.ts; here its head, and its way to a file and back.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { applyAdapter } from "../../src/checkpoint/adapter/adapter.ts";
import { open, openPlain } from "../../src/checkpoint/open.ts";
import type { Json } from "../../src/model/architecture.ts";
import { describeConfig } from "../../src/model/description.ts";
import { Model, type ModelOptions } from "../../src/model/model.ts";
import { saveModel } from "../../src/model/save.ts";
import { Program, profileOf } from "../../src/tensor/program.ts";
import { Recorder } from "../../src/tensor/recorder.ts";
import { textsOf, towerOf, type Values, writeTensors } from "../support/clip.ts";
import { sharedGpu } from "../support/gpu.ts";
import { loraOf } from "../support/lora.ts";
import { normals } from "../support/random.ts";
import { TINY_EXAMPLES } from "../support/tiny-models.ts";
import { referenceLogits } from "./reference.ts";

const gpu = await sharedGpu();
const folder = mkdtempSync(join(tmpdir(), "ingot-clip-"));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string) => join(folder, name);

const { num_labels: _, ...TOWER } = TINY_EXAMPLES.clip_vision_model as Record<string, unknown>;
const { model_type: __, projection_dim: shared, ...inner } = TOWER;
const WHOLE = { model_type: "clip", projection_dim: shared, vision_config: inner, text_config: { hidden_size: 4 } };
const TEXTS = textsOf(3, 7, 50);
const IMAGES = [0, 1].map((i) => [...normals(60 + i, 72)]);
/** The text tower's tensors of a whole CLIP, of which one is no float in older files. */
const OTHERS = new Map<string, Values>([
  ["text_model.encoder.layers.0.self_attn.q_proj.weight", { shape: [4, 4], values: normals(70, 16) }],
  ["text_projection.weight", { shape: [7, 4], values: normals(71, 28) }],
]);

let tower: Map<string, Values>;

const head = async (tensors: Readonly<Record<string, Values>>) => {
  const file = at(`head-${Object.keys(tensors).join("-")}.safetensors`);
  await writeTensors(file, new Map(Object.entries(tensors)));
  return Bun.file(file).bytes();
};
const scale = (value: number): Values => ({ shape: [], values: [value] });

beforeAll(async () => {
  tower = await towerOf(TINY_EXAMPLES.clip_vision_model!, 3);
  const config = (json: Json) => ({ "config.json": JSON.stringify(json) });
  const files = {
    ...config(TOWER),
    "zeroshot_head.safetensors": await head({ weight: TEXTS, logit_scale: scale(1.5) }),
  };
  await writeTensors(at("projected/"), tower, files);
  const projection = tower.get("visual_projection.weight")!;
  const bare = new Map([...tower].filter(([name]) => name !== "visual_projection.weight"));
  await writeTensors(at("bare/"), bare, {
    ...config(TOWER),
    "zeroshot_head.safetensors": await head({
      ...{ zeroshot_weights: TEXTS, logit_scale: scale(1.5) },
      "visual_projection.weight": projection,
    }),
  });
  await writeTensors(at("whole/"), new Map([["logit_scale", scale(1.5)], ...OTHERS, ...tower]), {
    ...config(WHOLE),
    "zeroshot_head.safetensors": await head({ text_embeds: TEXTS }),
  });
});

async function logitsOf(model: Model): Promise<Float32Array> {
  const rec = new Recorder(profileOf(gpu), { training: false });
  const { hidden, head: headOf } = model.record(rec, { batch: 2, x: rec.input("x", [2, 2, 6, 6]) });
  rec.output("logits", headOf(hidden));
  const program = await Program.compile(gpu, rec);
  program.write("x", Float32Array.from(IMAGES.flat()));
  program.run();
  const logits = (await program.read("logits")) as Float32Array;
  program.free();
  return logits;
}

async function load(name: string, options: ModelOptions = {}) {
  const said: string[] = [];
  const checkpoint = await open(at(name));
  const model = await Model.load(gpu, checkpoint, { warn: (text) => said.push(text), ...options });
  return { checkpoint, model, said };
}

describe.each(["projected", "bare", "whole"])("%s", (form) => {
  test("logits are scaled cosines of image and texts, in float64", async () => {
    const { model, checkpoint, said } = await load(form);
    const unit = Array.from({ length: 3 }, (_, i) => {
      const row = Array.from(TEXTS.values).slice(7 * i, 7 * i + 7);
      const length = Math.hypot(...row);
      return row.map((x) => (Math.exp(1.5) * x) / length);
    });
    const weights = new Map([...tower].map(([name, { values }]) => [name, Float64Array.from(values)]));
    weights.set("zeroshot_head.weight", Float64Array.from(unit.flat()));
    const wanted = referenceLogits({ ...TOWER, num_labels: 3 }, weights, { x: IMAGES });
    const found = await logitsOf(model);
    for (const [i, x] of wanted.entries()) expect(Math.abs(found[i]! - x)).toBeLessThan(2e-5);
    expect(said).toEqual(
      form === "whole"
        ? [
            `${at(form)} is a clip, of which the vision tower runs; 3 tensors of logit_scale, text_model, text_projection (45 parameters) are carried through as they are`,
          ]
        : [],
    );
    model.free();
    checkpoint.close();
  });

  test("saved and loaded it gives the same logits; the file has the tensors that it had, and the head stays beside", async () => {
    const { model, checkpoint } = await load(form);
    expect(model.trainable().map(({ name }) => name)).not.toContain("zeroshot_head.weight");
    const wanted = await logitsOf(model);
    await saveModel(model, at(`${form}-saved/`), { files: checkpoint.files, lineage: [] });
    model.free();
    const again = await load(`${form}-saved`);
    expect([...again.checkpoint.tensors.keys()]).toEqual([...checkpoint.tensors.keys()]);
    expect(again.checkpoint.files.get("zeroshot_head.safetensors")).toEqual(
      checkpoint.files.get("zeroshot_head.safetensors")!,
    );
    expect(await logitsOf(again.model)).toEqual(wanted);
    again.model.free();
    again.checkpoint.close();
    checkpoint.close();
  });

  test("an adapter of all linear layers has PEFT's names and merges to what it computed", async () => {
    const { model, checkpoint } = await load(form, { lora: { rank: 2, alpha: 4, targets: ["all-linear"], seed: 1 } });
    const { entries } = loraOf(model);
    const modules = ["q_proj", "k_proj", "v_proj", "out_proj"].map((name) => `self_attn.${name}`);
    const layer = [...modules, "mlp.fc1", "mlp.fc2"];
    const wantedModules = [0, 1].flatMap((i) => layer.map((name) => `vision_model.encoder.layers.${i}.${name}`));
    expect([...entries.keys()].sort()).toEqual(
      [...wantedModules, ...(form === "bare" ? [] : ["visual_projection"])].sort(),
    );
    for (const [i, { b }] of [...entries.values()].entries()) b.write(normals(i, b.size, 0.1));
    const wanted = await logitsOf(model);
    await saveModel(model, at(`${form}-adapter/`), { files: checkpoint.files, lineage: [] });
    model.free();
    const adapter = await openPlain(at(`${form}-adapter`));
    expect(adapter.tensors.has("base_model.model.vision_model.encoder.layers.1.mlp.fc2.lora_B.weight")).toBe(true);
    const merged = await Model.load(gpu, await applyAdapter(checkpoint, adapter));
    const found = await logitsOf(merged);
    for (const [i, x] of wanted.entries()) expect(Math.abs(found[i]! - x)).toBeLessThan(2e-5);
    merged.free();
    adapter.close();
    checkpoint.close();
  });
});

test("a new tower has a head of its own, and keeps it in its file", async () => {
  const json = TINY_EXAMPLES.clip_vision_model!;
  const model = await Model.fresh(gpu, json, "new", { seed: 8 });
  const wanted = await logitsOf(model);
  const files = new Map([["config.json", new TextEncoder().encode(JSON.stringify(json))]]);
  await saveModel(model, at("new/"), { files, lineage: [] });
  model.free();
  const again = await load("new");
  expect(again.said).toEqual([]);
  expect(await logitsOf(again.model)).toEqual(wanted);
  expect(wanted.length).toBe(2 * 5);
  again.model.free();
  again.checkpoint.close();
});

describe("refusals", () => {
  const refused = async (
    source: { tensors?: ReadonlyMap<string, Values>; files: Record<string, Uint8Array> },
    json = TOWER,
  ) => {
    await writeTensors(at("refused/"), source.tensors ?? tower, {
      "config.json": JSON.stringify(json),
      ...source.files,
    });
    const checkpoint = await open(at("refused"));
    try {
      await describeConfig(json as Json, "m", undefined, checkpoint);
      return "";
    } catch (error) {
      return (error as Error).message;
    } finally {
      checkpoint.close();
      rmSync(at("refused"), { recursive: true });
    }
  };
  const file = "zeroshot_head.safetensors";

  test("of what is no head for this tower", async () => {
    expect(await refused({ files: {} })).toBe(`m has no ${file}, so its classes are not known`);
    expect(await refused({ files: { [file]: await head({ other: TEXTS }) } })).toBe(
      `m: ${file} has none of weight, zeroshot_weights, text_embeds`,
    );
    expect(await refused({ files: { [file]: await head({ weight: TEXTS, text_embeds: TEXTS }) } })).toBe(
      `m: ${file} has both weight and text_embeds`,
    );
    expect(await refused({ files: { [file]: await head({ weight: textsOf(3, 6, 1) }) } })).toBe(
      `m: ${file}: weight is (3, 6) F32, expected floats of (classes, 7)`,
    );
    const bare = new Map([...tower].filter(([name]) => name !== "visual_projection.weight"));
    expect(await refused({ tensors: bare, files: { [file]: await head({ weight: TEXTS }) } })).toBe(
      `neither m nor its ${file} has visual_projection.weight`,
    );
  });

  test("of a class without a direction, and of images that patches do not fill", async () => {
    const zeros = { shape: [3, 7], values: [...Array.from(TEXTS.values).slice(0, 14), ...Array<number>(7).fill(0)] };
    await writeTensors(at("zeros/"), tower, {
      "config.json": JSON.stringify(TOWER),
      [file]: await head({ weight: zeros }),
    });
    await expect(load("zeros")).rejects.toThrow(`zeroshot_head.safetensors: row 2 of weight has no direction`);
    await expect(describeConfig({ ...TOWER, image_size: 7, num_labels: 3 } as Json, "m")).rejects.toThrow(
      "m: config.json: image_size 7 is no multiple of patch_size 2",
    );
  });
});
