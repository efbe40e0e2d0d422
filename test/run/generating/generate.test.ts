/** Decoding with the cache against full recomputation, token for token, on every architecture that writes text. */
import { describe, expect, test } from "bun:test";
import { loadMethods } from "../../../src/method/registry.ts";
import type { Json } from "../../../src/model/architecture.ts";
import { CacheMemory } from "../../../src/model/cache-memory.ts";
import { Model } from "../../../src/model/model.ts";
import { Generator } from "../../../src/run/generating/generate.ts";
import { argmax, GREEDY } from "../../../src/run/generating/sampling.ts";
import { Program, profileOf } from "../../../src/tensor/program.ts";
import { Recorder } from "../../../src/tensor/recorder.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { loraOf } from "../../support/lora.ts";
import { normals } from "../../support/random.ts";
import {
  TINY_DECODERS,
  TINY_DELTA,
  TINY_DUO,
  TINY_EXPERTS,
  TINY_NEOX,
  TINY_RECURRENT,
  TINY_TEXT,
} from "../../support/tiny-models.ts";

const gpu = await sharedGpu();
const PROMPTS = [[1, 2, 3], [7], [5, 9, 11, 13, 2, 8, 1]];

/** Greedy decoding that runs the whole sequence anew for every token. */
async function recomputed(model: Model, prompt: readonly number[], count: number): Promise<number[]> {
  const ids = [...prompt];
  for (let i = 0; i < count; i++) {
    const rec = new Recorder(profileOf(gpu), { training: false });
    const n = ids.length;
    const inputs = {
      batch: 1,
      length: n,
      ids: rec.input("ids", [n], "i32"),
      positions: rec.input("positions", [n], "i32"),
    };
    const { hidden, head } = model.record(rec, inputs);
    rec.output("logits", head(hidden));
    const program = await Program.compile(gpu, rec);
    program.write("ids", Int32Array.from(ids));
    program.write("positions", Int32Array.from(ids.keys()));
    program.run();
    const logits = await program.read("logits");
    program.free();
    ids.push(argmax(logits.subarray((n - 1) * model.sizes.outputs)));
  }
  return ids.slice(prompt.length);
}

const QWEN3_MOE = {
  ...{ ...TINY_TEXT.qwen3!, model_type: "qwen3_moe", num_experts: 4 },
  ...{ num_experts_per_tok: 2, moe_intermediate_size: 8 },
};
const ALL: Readonly<Record<string, Json>> = {
  ...TINY_TEXT,
  ...TINY_DECODERS,
  ...TINY_NEOX,
  ...TINY_EXPERTS,
  ...TINY_DELTA,
  ...TINY_RECURRENT,
  qwen3_moe: QWEN3_MOE,
  duo_decoder: TINY_DUO,
};

test("every architecture that writes text is here", async () => {
  const methods = await loadMethods("architecture");
  const texts = methods.filter(({ task }) => task === "causal-lm").map(({ name }) => name);
  expect([...new Set(Object.values(ALL).map(({ model_type }) => model_type as string))].sort()).toEqual(texts.sort());
});

test("latent attention keeps one narrow vector of a token", async () => {
  const { memory, layer } = latentCache();
  const model = await Model.fresh(gpu, TINY_DECODERS.deepseek_v3!, "m", { seed: 5 });
  layer(model);
  // Of 3 rows, 32 tokens and 2 layers: kv_lora_rank 10 and qk_rope_head_dim 4.
  expect(memory.bytes).toBe(4 * 3 * 32 * 2 * (10 + 4));
  memory.free();
  expect(memory.bytes).toBe(0);
  model.free();
});

/** A cache, and what records one token of a model over it. */
function latentCache() {
  const memory = new CacheMemory(3, 32);
  const layer = (model: Model) => {
    const rec = new Recorder(profileOf(gpu), { training: false });
    const [ids, positions] = ["ids", "positions"].map((name) => rec.input(name, [3], "i32"));
    const cache = model.cache(rec, memory);
    model.record(rec, { batch: 3, length: 1, ids: ids!, positions: positions!, cache });
  };
  return { memory, layer };
}

test("an adapter of the matrix that makes keys and values decodes as it recomputes", async () => {
  const lora = { rank: 3, alpha: 6, targets: ["kv_b_proj"], seed: 1 };
  const model = await Model.fresh(gpu, TINY_DECODERS.deepseek_v3!, "m", { seed: 5, lora });
  for (const [i, { b }] of [...loraOf(model).entries.values()].entries()) b.write(normals(i, b.size, 0.3));
  const generator = new Generator(model);
  const found = await generator.complete(PROMPTS, { ...GREEDY, maxTokens: 8, stop: [], batch: 3 });
  for (const [i, prompt] of PROMPTS.entries()) expect(found[i]).toEqual(await recomputed(model, prompt, 8));
  generator.free();
  model.free();
});

describe.each(Object.keys(ALL))("%s", (name) => {
  test("the cache changes nothing", async () => {
    const model = await Model.fresh(gpu, ALL[name]!, name, { seed: 5 });
    const generator = new Generator(model);
    const found = await generator.complete(PROMPTS, { ...GREEDY, maxTokens: 8, stop: [], batch: 3 });
    for (const [i, prompt] of PROMPTS.entries()) expect(found[i]).toEqual(await recomputed(model, prompt, 8));
    // One at a time gives what all at once gave.
    expect(await generator.complete(PROMPTS, { ...GREEDY, maxTokens: 8, stop: [], batch: 1 })).toEqual(found);
    generator.free();
    model.free();
  }, 120_000);
});

describe("a model", async () => {
  const model = await Model.fresh(gpu, TINY_TEXT.llama!, "llama", { seed: 5 });
  const generator = new Generator(model);
  const warm = { temperature: 2, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, maxTokens: 12, stop: [], batch: 3 };

  test("draws the same for a seed, whatever the batch, and differently for another", async () => {
    const one = await generator.complete(PROMPTS, { ...warm, seed: 1 });
    expect(await generator.complete(PROMPTS, { ...warm, seed: 1, batch: 2 })).toEqual(one);
    expect(await generator.complete(PROMPTS, { ...warm, seed: 2 })).not.toEqual(one);
  });

  test("ends a sequence at a stop token, which is not part of it", async () => {
    const [free] = await generator.complete([PROMPTS[0]!], { ...GREEDY, maxTokens: 8, stop: [], batch: 1 });
    const stop = free![4]!;
    const [found] = await generator.complete([PROMPTS[0]!], { ...GREEDY, maxTokens: 8, stop: [stop], batch: 1 });
    expect(found).toEqual(free!.slice(0, free!.indexOf(stop)));
  });

  test("refuses prompts without tokens and prompts that fill its positions", async () => {
    const run = (prompt: number[]) => generator.complete([prompt], { ...GREEDY, maxTokens: 1, stop: [], batch: 1 });
    expect(run([])).rejects.toThrow("a prompt has no tokens");
    expect(run(Array(64).fill(1))).rejects.toThrow("a prompt of 64 tokens leaves nothing of 64 positions");
  });
});

test.each(["llama", "qwen3_next"])("a prompt that goes on gives what a fresh one gives: %s", async (name) => {
  const model = await Model.fresh(gpu, ALL[name]!, name, { seed: 5 });
  const sampling = { ...GREEDY, maxTokens: 6, stop: [] };
  const answer = async (generator: Generator, prompt: number[], goesOn: boolean) => {
    const ids: number[] = [];
    for await (const { id } of generator.generate([prompt], { ...sampling, goesOn })) ids.push(id);
    return ids;
  };
  const talk = new Generator(model);
  let prompt = [1, 2, 3];
  for (const more of [[7], [5, 9], [4, 4, 4, 4, 4, 4, 4], [8]]) {
    const fresh = new Generator(model);
    const expected = await answer(fresh, prompt, false);
    fresh.free();
    expect(await answer(talk, prompt, true)).toEqual(expected);
    prompt = [...prompt, ...expected, ...more];
  }
  // Another beginning: what is held is not used beyond what is shared.
  const other = [1, 2, 9, ...prompt.slice(3, 12)];
  const fresh = new Generator(model);
  expect(await answer(talk, other, true)).toEqual(await answer(fresh, other, false));
  await expect(answer(talk, other, true)).resolves.toEqual(await answer(fresh, other, false)); // all of it is held
  fresh.free();
  talk.free();
  model.free();
});
