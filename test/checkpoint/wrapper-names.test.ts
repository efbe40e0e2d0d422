import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { open } from "../../src/checkpoint/open.ts";
import { plainNames, withPlainNames } from "../../src/checkpoint/wrapper-names.ts";
import { createWriter } from "../../src/checkpoint/write/write.ts";
import { held } from "./adapter/fixture.ts";

const PLAIN = ["model.embed_tokens.weight", "model.layers.0.mlp.up_proj.weight", "lm_head.weight"];

const CASES: readonly (readonly [what: string, names: readonly string[], plain: readonly string[], found: string[]])[] =
  [
    ["a plain model", PLAIN, PLAIN, []],
    ["torch.compile", PLAIN.map((name) => `_orig_mod.${name}`), PLAIN, ["_orig_mod."]],
    ["DataParallel", PLAIN.map((name) => `module.${name}`), PLAIN, ["module."]],
    ["both, one in the other", PLAIN.map((name) => `module._orig_mod.${name}`), PLAIN, ["_orig_mod.", "module."]],
    ["both, the other way", PLAIN.map((name) => `_orig_mod.module.${name}`), PLAIN, ["_orig_mod.", "module."]],
    ["twice wrapped", PLAIN.map((name) => `module.module.${name}`), PLAIN, ["module."]],
    [
      "FSDP with layers of its own and activation checkpointing",
      [
        "_fsdp_wrapped_module.model.embed_tokens.weight",
        "_fsdp_wrapped_module.model.layers.0._fsdp_wrapped_module._checkpoint_wrapped_module.mlp.up_proj.weight",
        "_fsdp_wrapped_module.lm_head.weight",
      ],
      PLAIN,
      ["_fsdp_wrapped_module.", "_checkpoint_wrapped_module."],
    ],
    [
      "layers compiled one by one",
      [PLAIN[0]!, "model.layers.0._orig_mod.mlp.up_proj.weight", PLAIN[2]!],
      PLAIN,
      ["_orig_mod."],
    ],
    ["a module that holds the model", PLAIN.map((name) => `model.${name}`), PLAIN, ["model."]],
    ["module. before some names only", ["module.a", "b"], ["module.a", "b"], []],
    ["model.model. before some names only", ["model.model.a", "model.b"], ["model.model.a", "model.b"], []],
    ["model. before all", ["model.a", "model.b"], ["model.a", "model.b"], []],
    [
      "an adapter",
      ["base_model.model._orig_mod.model.q.lora_A.weight"],
      ["base_model.model.model.q.lora_A.weight"],
      ["_orig_mod."],
    ],
    [
      "an adapter in DataParallel",
      ["module.base_model.model.model.q.lora_A.weight"],
      ["base_model.model.model.q.lora_A.weight"],
      ["module."],
    ],
    [
      "an adapter of a wrapped base",
      ["base_model.model.module.model.q.lora_A.weight"],
      ["base_model.model.model.q.lora_A.weight"],
      ["module."],
    ],
    [
      "an adapter of an adapter",
      ["base_model.model.base_model.model.q.lora_A.weight"],
      ["base_model.model.q.lora_A.weight"],
      ["base_model.model."],
    ],
  ];

test.each(CASES)("%s", (_, names, plain, found) => {
  expect(plainNames(names)).toEqual({ names: [...plain], found });
});

test("no tensors need no names", () => {
  expect(plainNames([])).toEqual({ names: [], found: [] });
});

test("two tensors that would have one name are refused", () => {
  const both = held("both/", { "_orig_mod.a": { shape: [1] }, a: { shape: [1] } });
  expect(() => withPlainNames(both, () => {})).toThrow(
    "both/ has _orig_mod.a and a, which are one tensor without the names of wrappers",
  );
});

test("a file opens under plain names, with one remark", async () => {
  const folder = mkdtempSync(join(tmpdir(), "ingot-wrappers-"));
  try {
    const file = join(folder, "model.safetensors");
    const names = PLAIN.map((name) => `module._orig_mod.${name}`);
    const tensors = names.map((name) => ({ name, dtype: "U8" as const, shape: [2], bytes: 2 }));
    const writer = await createWriter(file, { tensors, files: new Map(), lineage: [] });
    for (const [i, name] of names.entries()) await writer.write(name, Uint8Array.of(i, i + 1));
    await writer.finish();
    const told: string[] = [];
    const opened = await open(file, { warn: (message) => told.push(message) });
    const bytes = new Uint8Array(2);
    await opened.tensors.get("lm_head.weight")!.read(bytes, 0);
    opened.close();
    expect([...opened.tensors.keys()]).toEqual(PLAIN);
    expect(bytes).toEqual(Uint8Array.of(2, 3));
    expect(told).toEqual([
      `${file} was saved through torch.compile: _orig_mod., module. taken off the names of its tensors`,
    ]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
