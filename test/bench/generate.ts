/**
 * Writes sharded BF16 checkpoints in the Hugging Face layout for benchmarks: a base and fine-tunes of it.
 *
 *   bun test/bench/generate.ts /tmp/bench --gigabytes 1 --models 3
 *
 * Shapes are Llama's. Values are noise of a trained model's size; a fine-tune moves each value by a few units in the
 * last place, as real ones stored in BF16 do, so equal magnitudes are as common as in practice.
 */
import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";

const HIDDEN = 1024;
const FEED_FORWARD = 4096;
const VOCABULARY = 32000;
const SHARD_BYTES = 300e6;

interface Tensor {
  name: string;
  shape: number[];
}

const elements = (tensor: Tensor): number => tensor.shape.reduce((a, b) => a * b, 1);

function llamaTensors(layers: number): Tensor[] {
  const tensors: Tensor[] = [{ name: "model.embed_tokens.weight", shape: [VOCABULARY, HIDDEN] }];
  for (let i = 0; i < layers; i++) {
    const prefix = `model.layers.${i}`;
    tensors.push({ name: `${prefix}.input_layernorm.weight`, shape: [HIDDEN] });
    for (const part of ["q", "k", "v", "o"]) {
      tensors.push({ name: `${prefix}.self_attn.${part}_proj.weight`, shape: [HIDDEN, HIDDEN] });
    }
    tensors.push({ name: `${prefix}.post_attention_layernorm.weight`, shape: [HIDDEN] });
    for (const part of ["gate", "up"]) {
      tensors.push({ name: `${prefix}.mlp.${part}_proj.weight`, shape: [FEED_FORWARD, HIDDEN] });
    }
    tensors.push({ name: `${prefix}.mlp.down_proj.weight`, shape: [HIDDEN, FEED_FORWARD] });
  }
  tensors.push({ name: "model.norm.weight", shape: [HIDDEN] });
  tensors.push({ name: "lm_head.weight", shape: [VOCABULARY, HIDDEN] });
  return tensors;
}

/** A linear congruential stream of u32: quick, and good enough for noise. */
function noise(seed: number, length: number): Uint32Array {
  const out = new Uint32Array(length);
  let state = seed >>> 0;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    out[i] = state ^ (state >>> 15);
  }
  return out;
}

const BLOCK = 1 << 22;

/** Two BF16 values per word: a random sign, an exponent for magnitudes of 0.004 to 0.06, a random mantissa. */
function baseValues(seed: number): Uint32Array {
  return noise(seed, BLOCK).map((bits) => (bits & 0x80ff80ff) | 0x3b803b80 | ((bits >>> 3) & 0x01800180));
}

function writeModel(folder: string, tensors: Tensor[], model: number): void {
  mkdirSync(folder, { recursive: true });
  const shards: Tensor[][] = [[]];
  let used = 0;
  for (const tensor of tensors) {
    if (used > 0 && used + 2 * elements(tensor) > SHARD_BYTES) {
      shards.push([]);
      used = 0;
    }
    shards.at(-1)!.push(tensor);
    used += 2 * elements(tensor);
  }
  const base = baseValues(1);
  const change = noise(7919 * (model + 1), BLOCK);
  const weightMap: Record<string, string> = {};
  let total = 0;
  for (const [index, shard] of shards.entries()) {
    const part = (n: number) => String(n).padStart(5, "0");
    const file = `model-${part(index + 1)}-of-${part(shards.length)}.safetensors`;
    const header: Record<string, unknown> = { __metadata__: { format: "pt" } };
    let offset = 0;
    for (const tensor of shard) {
      header[tensor.name] = {
        dtype: "BF16",
        shape: tensor.shape,
        data_offsets: [offset, offset + 2 * elements(tensor)],
      };
      offset += 2 * elements(tensor);
      weightMap[tensor.name] = file;
    }
    total += offset;
    const json = Buffer.from(JSON.stringify(header));
    const padded = Buffer.alloc(Math.ceil(json.length / 8) * 8, " ");
    json.copy(padded);
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(padded.length));
    const fd = openSync(join(folder, file), "w");
    writeSync(fd, length);
    writeSync(fd, padded);
    const block = new Uint32Array(BLOCK);
    for (const [t, tensor] of shard.entries()) {
      for (let word = 0; word < elements(tensor) / 2; word += BLOCK) {
        const count = Math.min(BLOCK, elements(tensor) / 2 - word);
        const turn = (index * 131 + t * 17 + word / BLOCK) * 4099;
        for (let i = 0; i < count; i++) {
          const at = (i + turn) & (BLOCK - 1);
          // Moves both mantissas by up to 7 units, seldom by up to 127.
          const moved = change[at]! & ((change[at]! & 0x700) === 0 ? 0x007f007f : 0x00070007);
          block[i] = model === 0 ? base[at]! : base[at]! ^ moved;
        }
        writeSync(fd, new Uint8Array(block.buffer, 0, 4 * count));
      }
    }
    closeSync(fd);
  }
  const index = { metadata: { total_size: total }, weight_map: weightMap };
  writeFileSync(join(folder, "model.safetensors.index.json"), JSON.stringify(index, null, 2));
  const config = {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    hidden_size: HIDDEN,
    intermediate_size: FEED_FORWARD,
    num_hidden_layers: tensors.filter((t) => t.name.endsWith("q_proj.weight")).length,
    num_attention_heads: 16,
    num_key_value_heads: 16,
    vocab_size: VOCABULARY,
    tie_word_embeddings: false,
    torch_dtype: "bfloat16",
  };
  writeFileSync(join(folder, "config.json"), JSON.stringify(config, null, 2));
}

/**
 * Makes `models` checkpoints (`base`, `ft1`, `ft2`, ...) of about `gigabytes` each in `folder`; returns their paths.
 */
export function generate(folder: string, gigabytes: number, models: number): string[] {
  const perLayer = 2 * (4 * HIDDEN * HIDDEN + 3 * HIDDEN * FEED_FORWARD);
  const layers = Math.max(1, Math.round((gigabytes * 1e9 - 4 * VOCABULARY * HIDDEN) / perLayer));
  return Array.from({ length: models }, (_, i) => {
    const path = join(folder, i === 0 ? "base" : `ft${i}`);
    writeModel(path, llamaTensors(layers), i);
    return path;
  });
}

if (import.meta.main) {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { gigabytes: { type: "string", default: "1" }, models: { type: "string", default: "3" } },
  });
  for (const path of generate(positionals[0] ?? "bench", Number(values.gigabytes), Number(values.models))) {
    process.stderr.write(`${path}\n`);
  }
}
