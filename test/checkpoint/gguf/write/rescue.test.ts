/** What was trained is not lost where its GGUF file cannot hold a value. */
import { expect, test } from "bun:test";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { encodeFloats } from "../../../../src/checkpoint/decode.ts";
import { open } from "../../../../src/checkpoint/open.ts";
import { Model } from "../../../../src/model/model.ts";
import { saveResult } from "../../../../src/model/save.ts";
import { sharedGpu } from "../../../support/gpu.ts";
import { TINY_TEXT } from "../../../support/tiny-models.ts";
import { sampleOf, write } from "./fixture.ts";

test("the result goes to a safetensors file, and the error says where", async () => {
  const top = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), "ingot-gguf-rescue-")));
  const before = process.cwd();
  try {
    process.chdir(top);
    const sample = await sampleOf(TINY_TEXT.llama!, "F32");
    sample.tensors[0]!.data.set(encodeFloats(Float32Array.of(1e6), "F32"));
    await write(sample, "large.safetensors");
    const checkpoint = await open("large.safetensors");
    const model = await Model.load(await sharedGpu(), checkpoint, { dtype: "f32" });
    const options = { files: checkpoint.files, lineage: [], ggufType: ["f16"] };
    await expect(saveResult(model, "x.gguf", options, "run1")).rejects.toMatchObject({
      message: "tensor model.embed_tokens.weight has the value 1000000, which f16 cannot hold",
      hint: `the result is in ${path.join(top, "ingot-rescue-run1.safetensors")}`,
    });
    expect(fs.readdirSync(top).sort()).toEqual(["ingot-rescue-run1.safetensors", "large.safetensors"]);
    const rescued = await open("ingot-rescue-run1.safetensors");
    expect([...rescued.tensors.keys()]).toEqual([...checkpoint.tensors.keys()]);
    for (const opened of [rescued, checkpoint]) opened.close();
    model.free();
  } finally {
    process.chdir(before);
    fs.rmSync(top, { recursive: true });
  }
}, 120_000);
