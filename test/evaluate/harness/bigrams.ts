/**
 * A language model whose probabilities are known by hand: the next byte depends on the last one alone. Its one layer
 * adds nothing, its embeddings are unit vectors, and its head holds the logits.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { byteTokenizer } from "../../../src/data/byte-tokenizer.ts";

const V = 264;

/** Writes the model. `weights` has, by two letters, how much likelier the second is than other bytes: 1 elsewhere. */
export function writeBigrams(folder: string, weights: Readonly<Record<string, number>>): void {
  const tokenizer = byteTokenizer();
  const config = {
    model_type: "llama",
    hidden_size: V,
    intermediate_size: 4,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    vocab_size: V,
    max_position_embeddings: 128,
    rms_norm_eps: 1e-12,
    tie_word_embeddings: false,
  };
  const embedding = new Float32Array(V * V);
  for (let i = 0; i < V; i++) embedding[i * V + i] = 1;
  const head = new Float32Array(V * V);
  for (const [pair, weight] of Object.entries(weights)) {
    const [from, to] = [...pair].map((letter) => tokenizer.encode(letter)[0]!);
    head[to! * V + from!] = Math.log(weight) / Math.sqrt(V); // the norm makes a unit vector sqrt(V) long
  }
  const ones = new Float32Array(V).fill(1);
  const zeros = (...shape: number[]) => [shape, new Float32Array(shape.reduce((a, b) => a * b))] as const;
  const layer = "model.layers.0.";
  const tensors: Record<string, readonly [readonly number[], Float32Array]> = {
    "model.embed_tokens.weight": [[V, V], embedding],
    "lm_head.weight": [[V, V], head],
    "model.norm.weight": [[V], ones],
    [`${layer}input_layernorm.weight`]: [[V], ones],
    [`${layer}post_attention_layernorm.weight`]: [[V], ones],
    [`${layer}mlp.gate_proj.weight`]: zeros(4, V),
    [`${layer}mlp.up_proj.weight`]: zeros(4, V),
    [`${layer}mlp.down_proj.weight`]: zeros(V, 4),
    ...Object.fromEntries(["q", "k", "v", "o"].map((name) => [`${layer}self_attn.${name}_proj.weight`, zeros(V, V)])),
  };
  let end = 0;
  const header = Object.fromEntries(
    Object.entries(tensors).map(([name, [shape, values]]) => {
      const from = end;
      end += values.byteLength;
      return [name, { dtype: "F32", shape, data_offsets: [from, end] }];
    }),
  );
  const text = JSON.stringify(header);
  const head8 = Buffer.alloc(8);
  const padded = Buffer.from(text.padEnd(Math.ceil(text.length / 8) * 8));
  head8.writeBigUInt64LE(BigInt(padded.length));
  mkdirSync(folder, { recursive: true });
  const data = Object.values(tensors).map(([, values]) => Buffer.from(values.buffer));
  writeFileSync(join(folder, "model.safetensors"), Buffer.concat([head8, padded, ...data]));
  writeFileSync(join(folder, "config.json"), JSON.stringify(config));
  for (const [name, bytes] of tokenizer.files) writeFileSync(join(folder, name), bytes);
}
