/** Folders of quantised weights that are random but valid, to measure reading and merging of them. */
import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { TensorInfo } from "../../src/checkpoint/checkpoint.ts";
import { encodeFloats } from "../../src/checkpoint/decode.ts";
import { DTYPE_BYTES, type Dtype } from "../../src/checkpoint/dtype.ts";
import { encodeHeader } from "../../src/checkpoint/safetensors/header.ts";

/** What the bytes of a tensor are: any codes, positive scales, or given outright. */
type Content = "codes" | "scales" | Uint8Array;

interface Piece extends TensorInfo {
  readonly content: Content;
}

const piece = (name: string, dtype: Dtype, shape: readonly number[], content: Content): Piece => {
  return { name, dtype, shape, bytes: shape.reduce((a, b) => a * b, DTYPE_BYTES[dtype]), content };
};

const text = (value: object): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

const ordered = (columns: number, group: number): Uint8Array =>
  new Uint8Array(Int32Array.from({ length: columns }, (_, k) => Math.floor(k / group)).buffer);

/** 16 values of a 4-bit map, and 256 of a byte's. */
const map = (size: number): Uint8Array =>
  new Uint8Array(Float32Array.from({ length: size }, (_, k) => (2 * k) / (size - 1) - 1).buffer);

interface Layout {
  /** `quantization_config`, or for MLX `quantization`. */
  readonly config: Record<string, unknown>;
  /** Tensors of the matrix (o, i) of module `m`; both are multiples of 128. */
  pieces(m: string, o: number, i: number): Piece[];
}

const gptq = (bits: number): Layout => ({
  config: { quantization_config: { quant_method: "gptq", bits, group_size: 128, checkpoint_format: "gptq" } },
  pieces: (m, o, i) => [
    piece(`${m}.g_idx`, "I32", [i], ordered(i, 128)),
    piece(`${m}.qweight`, "I32", [(i * bits) / 32, o], "codes"),
    piece(`${m}.qzeros`, "I32", [i / 128, (o * bits) / 32], "codes"),
    piece(`${m}.scales`, "F16", [i / 128, o], "scales"),
  ],
});

const mlx = (bits: number): Layout => ({
  config: { quantization: { group_size: 64, bits } },
  pieces: (m, o, i) => [
    piece(`${m}.weight`, "U32", [o, (i * bits) / 32], "codes"),
    piece(`${m}.scales`, "BF16", [o, i / 64], "scales"),
    piece(`${m}.biases`, "BF16", [o, i / 64], "scales"),
  ],
});

const COMPRESSED = { quant_method: "compressed-tensors" };

/** Layouts by a short name; `bf16` is not quantised. */
export const BENCH_LAYOUTS: Record<string, Layout> = {
  bf16: { config: {}, pieces: (m, o, i) => [piece(`${m}.weight`, "BF16", [o, i], "scales")] },
  "fp8-block": {
    config: { quantization_config: { quant_method: "fp8", weight_block_size: [128, 128] } },
    pieces: (m, o, i) => [
      piece(`${m}.weight`, "F8_E4M3", [o, i], "codes"),
      piece(`${m}.weight_scale_inv`, "F32", [o / 128, i / 128], "scales"),
    ],
  },
  "ct-int8": {
    config: { quantization_config: COMPRESSED },
    pieces: (m, o, i) => [
      piece(`${m}.weight`, "I8", [o, i], "codes"),
      piece(`${m}.weight_scale`, "BF16", [o, 1], "scales"),
    ],
  },
  "ct-w4": {
    config: { quantization_config: COMPRESSED },
    pieces: (m, o, i) => [
      piece(`${m}.weight_packed`, "I32", [o, i / 8], "codes"),
      piece(`${m}.weight_scale`, "BF16", [o, i / 128], "scales"),
      piece(`${m}.weight_shape`, "I64", [2], new Uint8Array(BigInt64Array.of(BigInt(o), BigInt(i)).buffer)),
    ],
  },
  nvfp4: {
    config: { quantization_config: COMPRESSED },
    pieces: (m, o, i) => [
      piece(`${m}.weight_packed`, "U8", [o, i / 2], "codes"),
      piece(`${m}.weight_scale`, "F8_E4M3", [o, i / 16], "scales"),
      piece(`${m}.weight_global_scale`, "F32", [1], "scales"),
    ],
  },
  "gptq-4": gptq(4),
  "gptq-3": gptq(3),
  awq: {
    config: { quantization_config: { quant_method: "awq", bits: 4, group_size: 128, version: "gemm" } },
    pieces: (m, o, i) => [
      piece(`${m}.qweight`, "I32", [i, o / 8], "codes"),
      piece(`${m}.qzeros`, "I32", [i / 128, o / 8], "codes"),
      piece(`${m}.scales`, "F16", [i / 128, o], "scales"),
    ],
  },
  "bnb-nf4": {
    config: { quantization_config: { quant_method: "bitsandbytes", load_in_4bit: true } },
    pieces(m, o, i) {
      const state = text({
        quant_type: "nf4",
        blocksize: 64,
        shape: [o, i],
        nested_blocksize: 256,
        nested_offset: 0.1,
      });
      const blocks = (o * i) / 64;
      return [
        piece(`${m}.weight`, "U8", [(o * i) / 2, 1], "codes"),
        piece(`${m}.weight.absmax`, "U8", [blocks], "codes"),
        piece(`${m}.weight.quant_map`, "F32", [16], map(16)),
        piece(`${m}.weight.nested_absmax`, "F32", [Math.ceil(blocks / 256)], "scales"),
        piece(`${m}.weight.nested_quant_map`, "F32", [256], map(256)),
        piece(`${m}.weight.quant_state.bitsandbytes__nf4`, "U8", [state.length], state),
      ];
    },
  },
  "bnb-int8": {
    config: { quantization_config: { quant_method: "bitsandbytes", load_in_8bit: true } },
    pieces: (m, o, i) => [piece(`${m}.weight`, "I8", [o, i], "codes"), piece(`${m}.SCB`, "F32", [o], "scales")],
  },
  mxfp4: {
    config: { quantization_config: { quant_method: "mxfp4" } },
    pieces: (m, o, i) => [
      piece(`${m}_blocks`, "U8", [1, o, i / 32, 16], "codes"),
      piece(`${m}_scales`, "U8", [1, o, i / 32], "scales"),
    ],
  },
  "mlx-4": mlx(4),
  "mlx-6": mlx(6),
};

const CHUNK = 1 << 22;

/** Bytes of a kind: codes are a fixed noise, scales 0.5 to 1. */
function chunkOf(dtype: Dtype, content: "codes" | "scales"): Uint8Array {
  const noise = new Uint8Array(CHUNK);
  let state = 1;
  for (let k = 0; k < CHUNK; k++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    noise[k] = state >>> 24;
  }
  if (content === "codes") return noise;
  if (dtype === "U8") return noise.map((byte) => 120 + (byte & 7));
  const values = new Float32Array(CHUNK / 8);
  for (const [k, byte] of noise.subarray(0, values.length).entries()) values[k] = 0.5 + byte / 512;
  const bytes = encodeFloats(values, dtype);
  const whole = new Uint8Array(CHUNK);
  for (let at = 0; at < CHUNK; at += bytes.length) whole.set(bytes.subarray(0, CHUNK - at), at);
  return whole;
}

/**
 * Writes `folder/model.safetensors` and config.json: `matrices` matrices (o, i) in one layout, about as many stored
 * bytes as `bytes`. Returns the number of weights.
 */
export function writeQuantized(folder: string, layout: string, bytes: number, o: number, i: number): number {
  const { config, pieces } = BENCH_LAYOUTS[layout]!;
  const size = pieces("m", o, i).reduce((sum, one) => sum + one.bytes, 0);
  const matrices = Math.max(1, Math.round(bytes / size));
  const all = Array.from({ length: matrices }, (_, k) => pieces(`model.layers.${k}.mlp.up_proj`, o, i)).flat();
  mkdirSync(folder, { recursive: true });
  writeFileSync(
    join(folder, "config.json"),
    JSON.stringify({ model_type: "llama", torch_dtype: "float16", ...config }),
  );
  const file = openSync(join(folder, "model.safetensors"), "w");
  const chunks = new Map<string, Uint8Array>();
  writeSync(file, encodeHeader(all, new Map([["format", "pt"]])));
  for (const { dtype, content, bytes: count } of all) {
    if (typeof content !== "string") {
      writeSync(file, content);
      continue;
    }
    const key = content === "codes" ? content : dtype;
    const chunk = chunks.get(key) ?? chunkOf(dtype, content);
    chunks.set(key, chunk);
    for (let at = 0; at < count; at += CHUNK) writeSync(file, chunk, 0, Math.min(CHUNK, count - at));
  }
  closeSync(file);
  return matrices * o * i;
}

if (import.meta.main) {
  const [folder, layout, gigabytes] = process.argv.slice(2);
  const weights = writeQuantized(folder!, layout!, Number(gigabytes) * 1e9, 4096, 14_336);
  console.log(`${folder}: ${layout}, ${weights.toLocaleString("en-US")} weights`);
}
