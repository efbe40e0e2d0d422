/**
 * A Llama of half a gigabyte with random weights (bf16), to measure writing it as GGUF:
 *
 *   bun test/bench/gguf-out.ts big/
 *   /usr/bin/time -v bun run merge big/ --method passthrough --gguf-type q4_k -o big.gguf
 */
import { encodeFloats } from "../../src/checkpoint/decode.ts";
import { createWriter } from "../../src/checkpoint/write/write.ts";
import { normals } from "../support/random.ts";

const config = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  hidden_size: 1024,
  intermediate_size: 4096,
  num_hidden_layers: 13,
  num_attention_heads: 16,
  num_key_value_heads: 4,
  vocab_size: 32000,
  max_position_embeddings: 4096,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  hidden_act: "silu",
  tie_word_embeddings: true,
};
const [wide, inner, keys] = [config.hidden_size, config.intermediate_size, 256];

const shapes: [string, number[]][] = [["model.embed_tokens.weight", [config.vocab_size, wide]]];
for (let layer = 0; layer < config.num_hidden_layers; layer++) {
  const put = (name: string, ...shape: number[]) => shapes.push([`model.layers.${layer}.${name}.weight`, shape]);
  put("input_layernorm", wide);
  put("mlp.down_proj", wide, inner);
  put("mlp.gate_proj", inner, wide);
  put("mlp.up_proj", inner, wide);
  put("post_attention_layernorm", wide);
  put("self_attn.k_proj", keys, wide);
  put("self_attn.o_proj", wide, wide);
  put("self_attn.q_proj", wide, wide);
  put("self_attn.v_proj", keys, wide);
}
shapes.push(["model.norm.weight", [wide]]);

const tensors = shapes.map(([name, shape]) => {
  const count = shape.reduce((all, side) => all * side, 1);
  return { name, dtype: "BF16" as const, shape, bytes: 2 * count };
});
const files = new Map([["config.json", new TextEncoder().encode(JSON.stringify(config))]]);
const writer = await createWriter(process.argv[2] ?? "big/", { tensors, files, lineage: [] });
const row = encodeFloats(normals(1, 1 << 20, 0.02), "BF16");
for (const { name, bytes } of writer.tensors) {
  for (let at = 0; at < bytes; at += row.length)
    await writer.write(name, row.subarray(0, Math.min(row.length, bytes - at)));
}
await writer.finish();
console.log(`${(writer.bytes / 1e9).toFixed(2)} GB`);
