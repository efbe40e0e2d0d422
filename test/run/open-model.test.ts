/** What is known of a model before its weights are read. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Json } from "../../src/model/architecture.ts";
import { Model } from "../../src/model/model.ts";
import { saveModel } from "../../src/model/save.ts";
import { describeModel, openModel } from "../../src/run/open-model.ts";
import { sharedGpu } from "../support/gpu.ts";
import { TINY_EXAMPLES, TINY_TEXT } from "../support/tiny-models.ts";

const gpu = await sharedGpu();
const folder = mkdtempSync(join(tmpdir(), "ingot-open-model-"));
const at = (name: string) => join(folder, name);
const filesOf = (json: Json) => new Map([["config.json", new TextEncoder().encode(JSON.stringify(json))]]);

beforeAll(async () => {
  for (const [name, json] of [
    ["text", { ...TINY_TEXT.llama!, vocab_size: 300 }],
    ["small", TINY_TEXT.llama!],
    ["points", TINY_EXAMPLES.mlp!],
  ] as const) {
    const model = await Model.fresh(gpu, json, name, { seed: 1 });
    await saveModel(model, at(name), { files: filesOf(json), lineage: [] });
    model.free();
  }
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("a language model has text tools, and the files of a tokenizer that is chosen for it", async () => {
  const { checkpoint, task, sizes, tools, files, ref } = await openModel(at("text"), {
    tokenizer: "byte",
    max_length: 9,
  });
  expect([ref, task, sizes.outputs, sizes.layers]).toEqual([checkpoint.ref, "causal-lm", 300, 2]);
  expect(tools!.encode.maxLength).toBe(9);
  expect([...files.keys()]).toContain("tokenizer.json");
  expect([...checkpoint.files.keys()]).not.toContain("tokenizer.json");
  checkpoint.close();
});

test("a classifier has none", async () => {
  const { checkpoint, task, sizes, tools, files } = await openModel(at("points"));
  expect([task, sizes.outputs, sizes.example, tools]).toEqual(["classifier", 3, [7], undefined]);
  expect(files).toBe(checkpoint.files);
  checkpoint.close();
});

test("a config that is known is not read again", async () => {
  const source = { ref: "new.json", files: new Map<string, Uint8Array>(), json: TINY_EXAMPLES.mlp! };
  expect((await describeModel(source)).sizes.outputs).toBe(3);
  const { json, ...without } = source;
  await expect(describeModel(without)).rejects.toThrow("new.json has no config.json");
});

test("what does not fit is refused with the model's name", async () => {
  await expect(openModel(at("small"), { tokenizer: "byte" })).rejects.toThrow(`${at("small")} has a vocabulary of 50`);
  await expect(openModel(at("text"), { max_length: 65 })).rejects.toThrow(
    "--max-length 65 is more than the 64 positions",
  );
  writeFileSync(join(at("points"), "config.json"), '{"model_type":"mpl"}');
  await expect(openModel(at("points"))).rejects.toThrow('config.json: model_type "mpl" is not known');
});

test("the config of a new model gains the ids of its tokenizer's first and last token", async () => {
  const json = { ...TINY_TEXT.llama!, vocab_size: 300 };
  const config = async (more: Json, isNew: boolean) => {
    const source = { ref: "new.json", files: filesOf({ ...json, ...more }), json: { ...json, ...more }, isNew };
    const { files, tools } = await describeModel(source, { tokenizer: "byte" });
    const written = JSON.parse(new TextDecoder().decode(files.get("config.json"))) as Json;
    return [written.eos_token_id, tools!.tokenizer!.eos];
  };
  const [written, eos] = await config({}, true);
  expect([typeof eos, written]).toEqual(["number", eos]);
  expect((await config({ eos_token_id: 3 }, true))[0]).toBe(3);
  expect((await config({}, false))[0]).toBeUndefined();
});
