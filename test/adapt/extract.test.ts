/** `adapt extract`: what it takes out of a fine-tune gives the fine-tune again, and what cannot be held is refused. */
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { EXTRACT } from "../../src/adapt/options.ts";
import { mergeOnCpu } from "../../src/checkpoint/adapter/adapter.ts";
import { decodeFloats, encodeFloats } from "../../src/checkpoint/decode.ts";
import { open, openPlain } from "../../src/checkpoint/open.ts";
import { createWriter } from "../../src/checkpoint/write/write.ts";
import { collate } from "../../src/data/batch.ts";
import type { Values } from "../../src/method/options.ts";
import type { Json } from "../../src/model/architecture.ts";
import { Model } from "../../src/model/model.ts";
import { saveModel } from "../../src/model/save.ts";
import { sizeOf } from "../../src/tensor/tensor.ts";
import { logitsOf } from "../golden/formats/train.ts";
import { runScript } from "../support/command.ts";
import { sharedGpu } from "../support/gpu.ts";
import { normals } from "../support/random.ts";
import { TINY_DECODERS, TINY_DELTA, TINY_EXPERTS, TINY_NEOX, TINY_TEXT } from "../support/tiny-models.ts";
import { changesIn, configIn } from "./adapter-files.ts";
import { runExtract } from "./commands.ts";

const gpu = await sharedGpu();
const folder = mkdtempSync(join(tmpdir(), "ingot-extract-test-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string) => join(folder, name);

type Changed = (name: string, shape: readonly number[], values: Float32Array) => Float32Array | undefined;

/** Normal noise of rank `rank` on a matrix (rows, columns). */
function lowRank(seed: number, [rows, columns]: readonly [number, number], rank: number, size: number): Float32Array {
  const [b, a] = [normals(seed, rows * rank, size), normals(seed + 1, rank * columns, 1)];
  return Float32Array.from({ length: rows * columns }, (_, i) => {
    const [row, column] = [Math.floor(i / columns), i % columns];
    let sum = 0;
    for (let k = 0; k < rank; k++) sum += b[row * rank + k]! * a[k * columns + column]!;
    return sum;
  });
}

/** Writes a fresh model and a copy with changed tensors; gives the folders. */
async function makePair(name: string, json: Json, change: Changed): Promise<{ base: string; tuned: string }> {
  const files = new Map([["config.json", new TextEncoder().encode(JSON.stringify(json))]]);
  const [base, tuned] = [at(`${name}-base`), at(`${name}-tuned`)];
  const fresh = await Model.fresh(gpu, json, name, { seed: 4 });
  await saveModel(fresh, base, { files, lineage: [] });
  fresh.free();
  await copyWith(base, tuned, change);
  return { base, tuned };
}

async function copyWith(base: string, tuned: string, change: Changed): Promise<void> {
  const opened = await openPlain(base);
  const tensors = [...opened.tensors.values()];
  const writer = await createWriter(tuned, { tensors, files: opened.files, lineage: [] });
  for (const { name, dtype, shape, bytes, read } of tensors) {
    const data = new Uint8Array(bytes);
    await read(data, 0);
    const changed = dtype === "F32" ? change(name, shape, decodeFloats(data, dtype)) : undefined;
    await writer.write(name, changed ? encodeFloats(changed, dtype) : data);
  }
  await writer.finish();
  opened.close();
}

const added = (values: Float32Array, more: Float32Array) => values.map((value, i) => value + more[i]!);

/** Every tensor changed: matrices by rank 2, others by noise. */
const everything: Changed = (name, shape, values) => {
  const seed = Number(Bun.hash(name) % 100_000n);
  if (shape.length !== 2) return added(values, normals(seed, values.length, 0.05));
  return added(values, lowRank(seed, [shape[0]!, shape[1]!], 2, 0.05));
};

/** The largest difference of two checkpoints, as a share of the tensor's largest value. */
async function apart(one: string, other: string): Promise<{ name: string; error: number }> {
  const [a, b] = [await open(one), await open(other)];
  expect([...a.tensors.keys()].sort()).toEqual([...b.tensors.keys()].sort());
  let worst = { name: "", error: 0 };
  for (const [name, entry] of a.tensors) {
    const [found, wanted] = [await mergeOnCpu(entry), await mergeOnCpu(b.tensors.get(name)!)];
    const most = wanted.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
    for (const [i, value] of found.entries()) {
      const error = Math.abs(value - wanted[i]!) / most;
      if (!(error <= worst.error)) worst = { name, error };
    }
  }
  a.close();
  b.close();
  return worst;
}

const { llama, gpt2, "qwen2 with a window in its second layer": _, ...others } = TINY_TEXT;
const MODELS: Readonly<Record<string, Json>> = {
  ...{ llama: llama!, gpt2: gpt2!, ...others },
  ...{ ...TINY_NEOX, ...TINY_DELTA, ...TINY_DECODERS, ...TINY_EXPERTS },
};

describe("base + adapter is the fine-tune where the rank suffices", () => {
  test.each(Object.keys(MODELS))("%s", async (name) => {
    const { base, tuned } = await makePair(name.replaceAll(" ", "-"), MODELS[name]!, everything);
    const out = `${tuned}-lora`;
    const refused = await runExtract([tuned], out, { base, rank: 2 }).catch((error) => error);
    if (!(refused instanceof Error)) {
      const { name: worst, error } = await apart(`${base}+${out}`, tuned);
      expect([worst, error < 2e-6]).toEqual([worst, true]);
      expect(refused.json.error).toBeLessThan(1e-5);
      return;
    }
    // What PEFT has no place for is named; the rest is as it should be.
    expect(refused.message).toMatch(/ changed in .*, and PEFT cannot hold it: it is a parameter of its own/);
    const { warnings, json } = await runExtract([tuned], out, { base, rank: 2, skip_undecomposable: true });
    expect(warnings.length).toBeGreaterThan(0);
    const [mine, theirs] = [await open(`${base}+${out}`), await open(tuned)];
    for (const [tensor, entry] of mine.tensors) {
      if (json.left_out.includes(tensor)) continue;
      const [found, wanted] = [await mergeOnCpu(entry), await mergeOnCpu(theirs.tensors.get(tensor)!)];
      for (const [i, value] of found.entries()) expect(Math.abs(value - wanted[i]!)).toBeLessThan(1e-5);
    }
    mine.close();
    theirs.close();
  });

  test("its logits are those of the fine-tune", async () => {
    const { base, tuned } = await makePair("logits", llama!, everything);
    await runExtract([tuned], at("logits-lora"), { base, rank: 2 });
    const IDS = Int32Array.of(1, 5, 7, 2, 9, 49, 0, 3);
    const batch = collate([[{ ids: IDS, labels: IDS, group: 0, place: "0" }]], { buckets: "none" });
    const logits = async (ref: string) => {
      const checkpoint = await open(ref);
      const model = await Model.load(gpu, checkpoint, {});
      const found = await logitsOf(gpu, model, batch);
      model.free();
      checkpoint.close();
      return found;
    };
    const [found, wanted, before] = [
      await logits(`${base}+${at("logits-lora")}`),
      await logits(tuned),
      await logits(base),
    ];
    const worst = (values: Float32Array) => Math.max(...values.map((value, i) => Math.abs(value - wanted[i]!)));
    expect(worst(found)).toBeLessThan(1e-4);
    expect(worst(before)).toBeGreaterThan(0.1);
  });
});

describe("one matrix", async () => {
  const Q = "model.layers.0.self_attn.q_proj";
  const delta = lowRank(77, [24, 24], 3, 0.1);
  const only: Changed = (name, _, values) => (name === `${Q}.weight` ? added(values, delta) : undefined);
  const { base, tuned } = await makePair("one", llama!, only);
  const made = async (name: string, given: Partial<Values<typeof EXTRACT>>) => {
    const ran = await runExtract([tuned], at(name), { base, ...given });
    return { ...ran, changes: await changesIn(at(name)) };
  };
  const norm = Math.sqrt(delta.reduce((sum, value) => sum + value ** 2, 0));
  const errorOf = (change: readonly number[]) =>
    Math.sqrt(change.reduce((sum, value, i) => sum + (value - delta[i]!) ** 2, 0)) / norm;

  test("a known update of rank 3 comes back to 1e-5, of rank 3, and alone", async () => {
    const { changes, json } = await made("exact", {});
    expect([...changes.keys()]).toEqual([Q]);
    expect(changes.get(Q)!.rank).toBe(3);
    expect(errorOf(changes.get(Q)!.change)).toBeLessThan(1e-5);
    expect(json.modules).toEqual([{ module: Q, rank: 3, norm: expect.closeTo(norm, 4), error: expect.any(Number) }]);
    expect(json.error).toBeLessThan(1e-5);
    expect(configIn(at("exact"))).toMatchObject({ r: 3, lora_alpha: 3, target_modules: [Q], modules_to_save: null });
  });

  test("the error that is told is the error of what was written, at any rank and type", async () => {
    for (const [name, given] of [
      ["rank-1", { rank: 1 }],
      ["rank-2", { rank: 2 }],
      ["narrow", { dtype: "bf16" }],
      ["narrow-2", { rank: 2, dtype: "f16", distribute_scale: false }],
    ] as const) {
      const { changes, json } = await made(name, given);
      const error = errorOf(changes.get(Q)!.change);
      expect(json.error).toBeGreaterThan(1e-4);
      expect(Math.abs(json.error - error) / error).toBeLessThan(0.02);
    }
  });

  test("a share of the squares takes the least rank that keeps it", async () => {
    const { changes, json } = await made("share", { energy: 0.8 });
    const { rank } = changes.get(Q)!;
    expect(1 - json.error ** 2).toBeGreaterThanOrEqual(0.8);
    const less = await made("share-less", { rank: rank - 1 || 1 });
    if (rank > 1) expect(1 - less.json.error ** 2).toBeLessThan(0.8);
    const bounded = await made("bounded", { energy: 0.9999, rank: 1 });
    expect(bounded.warnings.join()).toContain("1 modules do not reach the share at rank 1");
  });

  test("singular values stand in both factors, or in A alone", async () => {
    const lengths = async (name: string) => {
      const opened = await openPlain(at(name));
      const entry = opened.tensors.get(`base_model.model.${Q}.lora_B.weight`)!;
      const bytes = new Uint8Array(entry.bytes);
      await entry.read(bytes, 0);
      opened.close();
      const b = new Float32Array(bytes.buffer);
      return [0, 1, 2].map((k) => Math.hypot(...Array.from({ length: 24 }, (_, o) => b[o * 3 + k]!)));
    };
    await made("in-a", { distribute_scale: false });
    for (const length of await lengths("in-a")) expect(length).toBeCloseTo(1, 5);
    expect((await lengths("exact"))[0]).not.toBeCloseTo(1, 2);
  });

  test("small singular values can be left out; equal models have nothing to extract", async () => {
    const { json } = await made("exact-again", {});
    const { changes } = await made("epsilon", { sv_epsilon: 0.57 * norm });
    expect([json.modules[0].rank, changes.get(Q)!.rank < 3]).toEqual([3, true]);
    expect(made("none", { sv_epsilon: 2 * norm })).rejects.toThrow("no direction of 1 changed modules gets a place");
    expect(runExtract([base], at("nothing"), { base })).rejects.toThrow("hold the same values");
    const left = "in what the patterns leave in: 2 tensors are left out, model.layers.0.self_attn.q_proj.weight first";
    expect(runExtract([tuned], at("nothing"), { base, exclude_regex: ["q_proj"] })).rejects.toThrow(left);
  });
});

describe("all matrices", async () => {
  const { base, tuned } = await makePair("all", llama!, (name, shape, values) =>
    added(values, normals(Number(Bun.hash(name) % 1000n), sizeOf(shape), name.includes("mlp") ? 0.1 : 0.01)),
  );

  test("a budget is kept, spent where most is kept, and spends better than one rank for all", async () => {
    const only = { include_regex: ["layers.*_proj"] };
    const one = await runExtract([tuned], at("flat"), { base, rank: 4, ...only });
    const size = statSync(join(at("flat"), "adapter_model.safetensors")).size;
    const { json } = await runExtract([tuned], at("budget"), { base, budget: `${size}`, ...only });
    expect(statSync(join(at("budget"), "adapter_model.safetensors")).size).toBeLessThanOrEqual(size);
    expect(json.error).toBeLessThan(one.json.error);
    const ranks = (part: string) =>
      json.modules
        .filter(({ module }: { module: string }) => module.includes(part))
        .map(({ rank }: { rank: number }) => rank);
    expect(Math.min(...ranks("mlp"))).toBeGreaterThan(Math.max(...ranks("self_attn")));
    expect(runExtract([tuned], at("tiny"), { base, budget: "100" })).rejects.toThrow("of a budget of 100 B");
  });

  test("norms, embeddings and heads are saved whole, or embeddings and heads as factors", async () => {
    await runExtract([tuned], at("whole"), { base, rank: 2 });
    expect(configIn(at("whole")).modules_to_save).toEqual([
      ...["embed_tokens", "input_layernorm", "lm_head", "norm", "post_attention_layernorm"],
    ]);
    await runExtract([tuned], at("embedded"), { base, rank: 64, embed_lora: true });
    expect(configIn(at("embedded")).modules_to_save).not.toContain("embed_tokens");
    const { error } = await apart(`${base}+${at("embedded")}`, tuned);
    expect(error).toBeLessThan(1e-5);
    await runExtract([tuned], at("saved"), { base, rank: 2, save_module: ["q_proj"] });
    expect(configIn(at("saved")).target_modules).not.toContain("q_proj");
    expect(configIn(at("saved")).modules_to_save).toContain("q_proj");
  });

  test("the command line: mergekit's names, a dry run, JSON, lineage, and the same bytes each time", async () => {
    const argv = ["extract", "--model", tuned, "--base-model", base, "--max-rank", "2", "--no-distribute-scale"];
    const dry = await runScript("adapt", [...argv, "--dry-run", "--json", "-o", "dry"], folder);
    expect([dry.code, existsSync(at("dry"))]).toEqual([0, false]);
    const done = await runScript("adapt", [...argv, "--json", "-o", "shell"], folder);
    expect(done.code, done.err).toBe(0);
    const [plan, result] = [JSON.parse(dry.text), JSON.parse(done.text)];
    expect(result.bytes).toBeLessThan(plan.bytes + 10_000);
    expect(result.modules).toHaveLength(plan.modules);
    const again = await runScript("adapt", [...argv, "-o", "shell-again"], folder);
    expect(again.text).toMatch(
      /^module +count +rank +error +largest error\nmodel\.layers\.\*\.self_attn\.q_proj +2 +2 /,
    );
    expect(again.err).toContain("of their change lost in Frobenius norm");
    const bytes = (name: string) => readFileSync(join(at(name), "adapter_model.safetensors"));
    expect(bytes("shell").equals(bytes("shell-again"))).toBe(true);
    const { lineage } = await openPlain(at("shell"));
    expect(lineage.at(-1)).toMatchObject({
      script: "adapt extract",
      options: { rank: 2, distribute_scale: false },
      inputs: [{ role: "model" }, { role: "base" }],
    });
  });
});

test("added tokens: embedding and head are saved whole, and the tokenizer goes with them", async () => {
  const { base } = await makePair("grown", { ...llama!, tie_word_embeddings: true }, () => undefined);
  const tuned = at("grown-more");
  const opened = await openPlain(base);
  const grown = [...opened.tensors.values()].map((entry) =>
    entry.name.endsWith("embed_tokens.weight") ? { ...entry, shape: [52, 24], bytes: 52 * 24 * 4 } : entry,
  );
  const config = { ...JSON.parse(new TextDecoder().decode(opened.files.get("config.json"))), vocab_size: 52 };
  const text = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
  const files = new Map([...opened.files, ["config.json", text(config)], ["tokenizer.json", text({ version: "1" })]]);
  const writer = await createWriter(tuned, { tensors: grown, files, lineage: [] });
  for (const { name, bytes, shape } of grown) {
    const data = new Uint8Array(bytes);
    await opened.tensors.get(name)!.read(data.subarray(0, opened.tensors.get(name)!.bytes), 0);
    await writer.write(name, shape[0] === 52 ? encodeFloats(normals(1, 52 * 24, 1), "F32") : data);
  }
  await writer.finish();
  opened.close();
  await runExtract([tuned], at("grown-lora"), { base });
  expect(configIn(at("grown-lora"))).toMatchObject({ modules_to_save: ["embed_tokens"], ensure_weight_tying: true });
  expect(existsSync(join(at("grown-lora"), "tokenizer.json"))).toBe(true);
  const { error } = await apart(`${base}+${at("grown-lora")}`, tuned);
  expect(error).toBe(0);
  const applied = await open(`${base}+${at("grown-lora")}`);
  expect(JSON.parse(new TextDecoder().decode(applied.files.get("config.json"))).vocab_size).toBe(52);
});

test("convolutions are decomposed as matrices, and what has no place is named", async () => {
  const shapes: Record<string, readonly number[]> = {
    ...{ "block.conv.weight": [6, 3, 2, 2], "block.conv.bias": [6], "block.depthwise.weight": [6, 1, 3] },
    "block.experts.down_proj": [2, 4, 5],
  };
  const write = async (name: string, seed: number, only: (tensor: string) => boolean) => {
    const tensors = Object.entries(shapes).map(([tensor, shape]) => ({
      ...{ name: tensor, dtype: "F32" as const, shape, bytes: 4 * sizeOf(shape) },
    }));
    const writer = await createWriter(at(name), { tensors, files: new Map(), lineage: [] });
    for (const { name: tensor, shape } of tensors)
      await writer.write(tensor, encodeFloats(normals(only(tensor) ? seed : 1, sizeOf(shape), 1), "F32"));
    await writer.finish();
  };
  await write("conv-base", 1, () => true);
  await write("conv-tuned", 2, (tensor) => !tensor.includes("experts"));
  await runExtract([at("conv-tuned")], at("conv-lora"), { base: at("conv-base") });
  expect(configIn(at("conv-lora"))).toMatchObject({
    target_modules: ["conv"],
    modules_to_save: ["depthwise"],
    bias: "all",
  });
  const opened = await openPlain(at("conv-lora"));
  const shapeOf = (tensor: string) => opened.tensors.get(`base_model.model.block.${tensor}`)?.shape;
  expect([shapeOf("conv.lora_A.weight"), shapeOf("conv.lora_B.weight")]).toEqual([
    [6, 3, 2, 2],
    [6, 6, 1, 1],
  ]);
  expect(shapeOf("conv.base_layer.bias")).toEqual([6]);
  const { error } = await apart(`${at("conv-base")}+${at("conv-lora")}`, at("conv-tuned"));
  expect(error).toBeLessThan(2e-6);
  await write("expert-tuned", 2, () => true);
  expect(runExtract([at("expert-tuned")], at("expert-lora"), { base: at("conv-base") })).rejects.toThrow(
    "block.experts.down_proj changed",
  );
});

test("what does not fit is refused by name", async () => {
  const { base, tuned } = await makePair("refusals", llama!, everything);
  const other = (await makePair("other", { ...llama!, hidden_size: 48 }, () => undefined)).base;
  const shallow = (await makePair("shallow", { ...llama!, num_hidden_layers: 1 }, () => undefined)).base;
  const broken = at("broken");
  await copyWith(tuned, broken, (name, _, values) =>
    name.includes("0.self_attn.q_proj") ? values.fill(Number.NaN) : undefined,
  );
  const refused = async (args: readonly string[], given: Partial<Values<typeof EXTRACT>>, out = at("refused")) =>
    runExtract(args, out, given).then(
      () => "done",
      ({ message, hint }) => `${message}; ${hint}`,
    );
  expect(await refused([tuned], {})).toContain("no --base");
  expect(await refused([], { base })).toContain("no fine-tune");
  expect(await refused([tuned, base], { base })).toContain("one fine-tune at a time");
  expect(await refused([tuned], { base: other })).toMatch(
    /is \(50, 24\) in .* but \(50, 48\) in .*; these are different/,
  );
  expect(await refused([shallow], { base })).toContain("an adapter takes nothing away");
  expect(await refused([tuned], { base: shallow })).toBe("done");
  expect(await refused([broken], { base }, at("refused-2"))).toContain("holds NaN or infinity");
  await copyWith(base, at("odd-norm"), (name, _, values) =>
    name === "model.norm.weight" ? values.fill(Number.POSITIVE_INFINITY) : undefined,
  );
  const { warnings } = await runExtract([at("odd-norm")], at("odd-norm-lora"), { base });
  expect(warnings.join()).toContain("norm.weight holds NaN or infinity, and is in the adapter as it is");
  expect(await refused([tuned], { base, energy: 0.5, budget: "1MB" })).toContain("both choose ranks");
  expect(await refused([tuned], { base, budget: "much" })).toContain("--budget much is not a size");
  expect(await refused([tuned], { base }, "x.gguf")).toContain("x.gguf is a GGUF file");
  expect(existsSync(at("refused-2"))).toBe(false);
});
