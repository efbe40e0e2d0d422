import { describe, expect, test } from "bun:test";
import { applyAdapter, mergeOnCpu } from "../../../src/checkpoint/adapter/adapter.ts";
import type { Checkpoint } from "../../../src/checkpoint/checkpoint.ts";
import { decodeFloats } from "../../../src/checkpoint/decode.ts";
import { base, held, lora, noise } from "./fixture.ts";

const P = "base_model.model.";
const EMBED = "model.embed_tokens.weight";
const HEAD = "lm_head.weight";
const Q0 = "model.layers.0.self_attn.q_proj";

const merged = async (checkpoint: Checkpoint, name: string): Promise<number[]> => [
  ...(await mergeOnCpu(checkpoint.tensors.get(name)!)),
];
const configOf = (checkpoint: Checkpoint): Record<string, unknown> =>
  JSON.parse(new TextDecoder().decode(checkpoint.files.get("config.json")));
const on = (module: string, rows: number, columns: number) => ({
  [`${P}${module}.lora_A.weight`]: { shape: [2, columns] },
  [`${P}${module}.lora_B.weight`]: { shape: [rows, 2] },
});
const onEmbedding = {
  [`${P}model.embed_tokens.lora_embedding_A`]: { shape: [2, 6] },
  [`${P}model.embed_tokens.lora_embedding_B`]: { shape: [4, 2] },
};

describe("whole tensors", () => {
  test("modules_to_save replaces, in the base's dtype", async () => {
    const model = held("m", { "model.norm.weight": { shape: [2], dtype: "BF16" }, "model.x.weight": { shape: [1] } });
    const adapter = lora(
      { [`${P}model.norm.weight`]: { shape: [2], values: [1.01, -3] } },
      { modules_to_save: ["norm"] },
    );
    const result = await applyAdapter(model, adapter);
    expect(result.tensors.get("model.norm.weight")).toMatchObject({ dtype: "BF16", bytes: 4, shape: [2] });
    expect(await merged(result, "model.norm.weight")).toEqual([1.0078125, -3]);
    expect([...result.tensors.keys()]).toEqual(["model.norm.weight", "model.x.weight"]);
  });

  test("a saved module that the base lacks is added, with the adapter's name in the key or without", async () => {
    for (const key of ["score.weight", "score.modules_to_save.default.weight", "score.modules_to_save.weight"]) {
      const adapter = lora({ [P + key]: { shape: [2, 4] } }, { modules_to_save: ["score"], task_type: "SEQ_CLS" });
      const result = await applyAdapter(base(), adapter);
      expect([...result.tensors.keys()].at(-1)).toBe("score.weight");
      expect(await merged(result, "score.weight")).toEqual([...noise(8, 1)]);
    }
  });

  test("biases are full values: of adapted layers, of all layers", async () => {
    const only = lora(
      { ...on(Q0, 3, 4), [`${P}${Q0}.base_layer.bias`]: { shape: [3], values: [1, 2, 3] } },
      { bias: "lora_only" },
    );
    expect(await merged(await applyAdapter(base(), only), `${Q0}.bias`)).toEqual([1, 2, 3]);
    const all = lora({ [`${P}${Q0}.bias`]: { shape: [3], values: [4, 5, 6] } }, { bias: "all" });
    expect(await merged(await applyAdapter(base(), all), `${Q0}.bias`)).toEqual([4, 5, 6]);
  });

  test("lora_bias adds the scaled bias of B to the layer's", async () => {
    const adapter = lora(
      { ...on(Q0, 3, 4), [`${P}${Q0}.lora_B.bias`]: { shape: [3], values: [1, -2, 0.5] } },
      { lora_bias: true },
    );
    const before = await merged(base(), `${Q0}.bias`);
    const expected = [1, -2, 0.5].map((value, i) => Math.fround(before[i]! + 3 * value));
    const result = await applyAdapter(base(), adapter);
    expect(await merged(result, `${Q0}.bias`)).toEqual(expected);
    expect(result.tensors.get(`${Q0}.weight`)!.patch).toBeDefined();
  });

  test("a larger vocabulary replaces both ends, the config's size and the tokenizer", async () => {
    const model = base({ tie_word_embeddings: false }, { [HEAD]: { shape: [6, 4] } });
    const rows = { [P + EMBED]: { shape: [8, 4] }, [P + HEAD]: { shape: [8, 4] } };
    const adapter = lora(rows);
    const withTokenizer = {
      ...adapter,
      files: new Map([...adapter.files, ["tokenizer.json", new TextEncoder().encode("new")]]),
    };
    const result = await applyAdapter(model, withTokenizer);
    expect(result.tensors.get(EMBED)!.shape).toEqual([8, 4]);
    expect(configOf(result)).toEqual({ model_type: "llama", vocab_size: 8, tie_word_embeddings: false });
    expect(new TextDecoder().decode(result.files.get("tokenizer.json"))).toBe("new");
    await expect(applyAdapter(model, lora({ [P + EMBED]: { shape: [8, 4] } }))).rejects.toThrow(
      `with adapter ${EMBED} has 8 rows but ${HEAD} has 6`,
    );
  });
});

describe("trained token rows", () => {
  const rows = {
    [`${P}model.embed_tokens.token_adapter.trainable_tokens_delta`]: {
      shape: [2, 4],
      values: [1, 2, 3, 4, 5, 6, 7, 8],
    },
  };

  test("take the place of the rows that the config lists, in any order", async () => {
    for (const trainable_token_indices of [[5, 0], { embed_tokens: [5, 0] }]) {
      const model = base({ tie_word_embeddings: false });
      const result = await merged(await applyAdapter(model, lora(rows, { trainable_token_indices })), EMBED);
      const expected = await merged(model, EMBED);
      expected.splice(20, 4, 1, 2, 3, 4);
      expected.splice(0, 4, 5, 6, 7, 8);
      expect(result).toEqual(expected);
    }
  });

  test("are the same whichever bytes are asked for", async () => {
    const model = held("m", { [EMBED]: { shape: [6, 4], dtype: "BF16" } });
    const result = await applyAdapter(model, lora(rows, { trainable_token_indices: [1, 4] }));
    const entry = result.tensors.get(EMBED)!;
    const whole = new Uint8Array(48);
    await entry.read(whole, 0);
    expect([...decodeFloats(whole, "BF16").subarray(16, 20)]).toEqual([5, 6, 7, 8]);
    for (let start = 0; start < 48; start++) {
      for (let end = start; end <= 48; end++) {
        const part = new Uint8Array(end - start);
        await entry.read(part, start);
        if (Buffer.compare(part, whole.subarray(start, end)) !== 0) throw new Error(`bytes ${start} to ${end} differ`);
      }
    }
  });

  test("leave a tie alone, since both ends learn them", async () => {
    const result = await applyAdapter(
      base({ tie_word_embeddings: true }),
      lora(rows, { trainable_token_indices: [0, 1] }),
    );
    expect(result.tensors.has(HEAD)).toBe(false);
    expect(configOf(result).tie_word_embeddings).toBe(true);
  });

  test("are refused when the config does not fit them", async () => {
    const apply = (config: Record<string, unknown>) => applyAdapter(base(), lora(rows, config));
    await expect(apply({})).rejects.toThrow(
      "trainable_token_indices of adapter does not list the rows of model.embed_tokens, but it has tensors for them",
    );
    await expect(apply({ trainable_token_indices: [1] })).rejects.toThrow(
      `adapter has trained rows (2, 4) for 1 tokens, but ${EMBED} is (6, 4) F32`,
    );
    await expect(apply({ trainable_token_indices: [1, 6] })).rejects.toThrow(
      `adapter trains token 6, but ${EMBED} has 6 rows`,
    );
    await expect(apply({ trainable_token_indices: [1, -6] })).rejects.toThrow("expected token numbers");
  });
});

describe("tied embeddings", () => {
  const tied = () => base({ tie_word_embeddings: true });

  test("stay tied when neither end is touched", async () => {
    const result = await applyAdapter(tied(), lora(on(Q0, 3, 4)));
    expect([...result.tensors.keys()]).toEqual([...tied().tensors.keys()]);
    expect(result.files.get("config.json")).toEqual(tied().files.get("config.json")!);
  });

  test("are parted when only the embedding is touched: the head keeps the old values", async () => {
    for (const tensors of [onEmbedding, { [P + EMBED]: { shape: [6, 4] } }]) {
      const result = await applyAdapter(tied(), lora(tensors, { modules_to_save: ["embed_tokens"] }));
      const before = await merged(tied(), EMBED);
      expect(await merged(result, HEAD)).toEqual(before);
      expect(configOf(result).tie_word_embeddings).toBe(false);
      if (tensors === onEmbedding) expect(await merged(result, EMBED)).not.toEqual(before);
    }
  });

  test("are parted when only the head is touched: the embedding keeps the old values", async () => {
    const result = await applyAdapter(tied(), lora(on("lm_head", 6, 4)));
    const before = await merged(tied(), EMBED);
    expect(await merged(result, EMBED)).toEqual(before);
    expect(result.tensors.get(HEAD)).toMatchObject({ name: HEAD, shape: [6, 4] });
    expect(result.tensors.get(HEAD)!.patch).toBeDefined();
    expect(await merged(result, HEAD)).not.toEqual(before);
    expect(configOf(result).tie_word_embeddings).toBe(false);
  });

  test("a head that lies unused in a tied base does not come back", async () => {
    const stale = base({ tie_word_embeddings: true }, { [HEAD]: { shape: [6, 4], values: new Array(24).fill(9) } });
    const result = await applyAdapter(stale, lora(onEmbedding));
    expect(await merged(result, HEAD)).toEqual(await merged(stale, EMBED));
  });

  test("a base that says nothing is tied when it has no head", async () => {
    const result = await applyAdapter(base(), lora(on("lm_head", 6, 4)));
    expect(configOf(result).tie_word_embeddings).toBe(false);
    const headed = await applyAdapter(base({}, { [HEAD]: { shape: [6, 4] } }), lora(onEmbedding));
    expect(configOf(headed)).not.toHaveProperty("tie_word_embeddings");
  });

  test("parting happens where the config states the tie", async () => {
    const model = held(
      "vl",
      { "language_model.model.embed_tokens.weight": { shape: [6, 4] } },
      {
        "config.json": { text_config: { tie_word_embeddings: true, vocab_size: 6 } },
      },
    );
    const result = await applyAdapter(model, lora(on("language_model.lm_head", 6, 4)));
    expect(configOf(result)).toEqual({ text_config: { tie_word_embeddings: false, vocab_size: 6 } });
  });

  test("ensure_weight_tying keeps one tensor", async () => {
    const adapter = lora(
      { [P + EMBED]: { shape: [6, 4] } },
      { modules_to_save: ["embed_tokens"], ensure_weight_tying: true },
    );
    const result = await applyAdapter(tied(), adapter);
    expect(result.tensors.has(HEAD)).toBe(false);
    expect(configOf(result).tie_word_embeddings).toBe(true);
  });

  test("cannot be parted on a stream, which is read once", async () => {
    await expect(applyAdapter({ ...tied(), kind: "stream" }, lora(onEmbedding))).rejects.toThrow(
      "adapter unties the embeddings of base, which comes as a stream and can be read only once",
    );
  });
});

test("an adapter that comes as a stream is read while it passes", async () => {
  let open = true;
  const stream = held(
    "-",
    { [`${P}model.norm.weight`]: { shape: [4], values: [1, 2, 3, 4] } },
    {
      "adapter_config.json": { peft_type: "LORA", modules_to_save: ["norm"] },
    },
    "stream",
  );
  for (const entry of stream.tensors.values()) {
    const read = entry.read;
    entry.read = async (into, offset) => {
      if (!open) throw new Error("read after the stream has passed");
      await read(into, offset);
    };
  }
  const result = await applyAdapter(base(), stream);
  open = false;
  expect(await merged(result, "model.norm.weight")).toEqual([1, 2, 3, 4]);
});
