/** Small checkpoints in the Hugging Face layout, made up on the spot: a base and fine-tunes of it. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TensorInfo } from "../checkpoint/checkpoint.ts";
import { encodeFloats } from "../checkpoint/decode.ts";
import type { Dtype } from "../checkpoint/dtype.ts";
import { createWriter } from "../checkpoint/write/write.ts";

export interface DemoModel {
  readonly hidden: number;
  readonly feedForward: number;
  readonly layers: number;
  readonly vocabulary: number;
  readonly dtype: Dtype;
}

export const DEMO_MODEL: DemoModel = { hidden: 256, feedForward: 704, layers: 4, vocabulary: 512, dtype: "BF16" };

/** Names and shapes of a Llama of this size. */
export function llamaShapes({ hidden, feedForward, layers, vocabulary }: DemoModel): [string, number[]][] {
  const shapes: [string, number[]][] = [["model.embed_tokens.weight", [vocabulary, hidden]]];
  for (let i = 0; i < layers; i++) {
    const name = (part: string) => `model.layers.${i}.${part}.weight`;
    shapes.push([name("input_layernorm"), [hidden]]);
    for (const part of ["q_proj", "k_proj", "v_proj", "o_proj"])
      shapes.push([name(`self_attn.${part}`), [hidden, hidden]]);
    shapes.push([name("post_attention_layernorm"), [hidden]]);
    shapes.push([name("mlp.gate_proj"), [feedForward, hidden]], [name("mlp.up_proj"), [feedForward, hidden]]);
    shapes.push([name("mlp.down_proj"), [hidden, feedForward]]);
  }
  shapes.push(["model.norm.weight", [hidden]], ["lm_head.weight", [vocabulary, hidden]]);
  return shapes;
}

/** Normal noise from a seed: a 32-bit generator (mulberry32) under the Box-Muller transform. */
export function noise(seed: number): () => number {
  let state = seed >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}

/**
 * Writes a model: the base's noise, plus, for a fine-tune (`model` > 0), its own change of a tenth of the size.
 * The same arguments give the same bytes.
 */
export async function writeDemoModel(folder: string, size: DemoModel, model: number): Promise<void> {
  const shapes = llamaShapes(size);
  const width = size.dtype === "F32" ? 4 : 2;
  const tensors = shapes.map(([name, shape]): TensorInfo => {
    const values = shape.reduce((a, b) => a * b, 1);
    return { name, shape, dtype: size.dtype, bytes: values * width };
  });
  const config = {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    hidden_size: size.hidden,
    intermediate_size: size.feedForward,
    num_hidden_layers: size.layers,
    num_attention_heads: 8,
    num_key_value_heads: 8,
    vocab_size: size.vocabulary,
    rms_norm_eps: 1e-5,
    rope_theta: 10000,
    tie_word_embeddings: false,
    torch_dtype: size.dtype === "F32" ? "float32" : "bfloat16",
  };
  mkdirSync(folder, { recursive: true });
  const files = new Map([["config.json", Buffer.from(`${JSON.stringify(config, null, 2)}\n`)]]);
  const writer = await createWriter(`${folder}/`, { tensors, files, lineage: [] });
  for (const [index, [name, shape]] of shapes.entries()) {
    const base = noise(1000 + index);
    const change = noise(100_000 * model + index);
    const values = new Float32Array(shape.reduce((a, b) => a * b, 1));
    const centre = name.includes("norm") ? 1 : 0;
    for (let i = 0; i < values.length; i++) values[i] = centre + 0.02 * base() + (model > 0 ? 0.002 * change() : 0);
    await writer.write(name, encodeFloats(values, size.dtype));
  }
  await writer.finish();
}

/** A text file beside models, for recipes of the demo. */
export function writeText(folder: string, name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}
