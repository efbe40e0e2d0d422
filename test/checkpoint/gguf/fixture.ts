/** Writes small GGUF files: metadata by the reader's own package, the table of tensors by hand. */
import { GGUFValueType, serializeGgufMetadata } from "@huggingface/gguf";
import { encodeFloats } from "../../../src/checkpoint/decode.ts";

export const TYPE = { F32: 0, F16: 1, Q4_K: 12, Q8_0: 8, BF16: 30 } as const;

export interface GgufTensor {
  name: string;
  /** As GGUF has them: innermost first. */
  dims: (number | bigint)[];
  type: number;
  bytes: Uint8Array;
  /** Instead of the next free place. */
  offset?: bigint;
}

const typed = (value: unknown) => {
  if (typeof value === "string") return { value, type: GGUFValueType.STRING };
  if (typeof value === "bigint") return { value, type: GGUFValueType.UINT64 };
  if (Array.isArray(value)) return { value, type: GGUFValueType.ARRAY, subType: GGUFValueType.UINT32 };
  return { value, type: Number.isInteger(value) ? GGUFValueType.UINT32 : GGUFValueType.FLOAT32 };
};

const u32 = (value: number) => new Uint8Array(Uint32Array.of(value).buffer);
const u64 = (value: number | bigint) => new Uint8Array(BigUint64Array.of(BigInt(value)).buffer);
const padding = (length: number, alignment: number) =>
  new Uint8Array(Math.ceil(length / alignment) * alignment - length);

export function buildGguf(metadata: Record<string, unknown>, tensors: GgufTensor[]): Uint8Array<ArrayBuffer> {
  const alignment = Number(metadata["general.alignment"] ?? 32);
  const head = serializeGgufMetadata(
    {
      version: { value: 3, type: GGUFValueType.UINT32 },
      tensor_count: { value: BigInt(tensors.length), type: GGUFValueType.UINT64 },
      kv_count: { value: 0n, type: GGUFValueType.UINT64 },
      ...Object.fromEntries(Object.entries(metadata).map(([key, value]) => [key, typed(value)])),
    } as Parameters<typeof serializeGgufMetadata>[0],
    { alignment: 1 }, // the table follows without padding
  );
  const parts: Uint8Array[] = [head];
  const data: Uint8Array[] = [];
  let offset = 0;
  for (const tensor of tensors) {
    const name = new TextEncoder().encode(tensor.name);
    parts.push(u64(name.length), name, u32(tensor.dims.length), ...tensor.dims.map(u64), u32(tensor.type));
    parts.push(u64(tensor.offset ?? offset));
    const filler = padding(tensor.bytes.length, alignment);
    data.push(tensor.bytes, filler);
    offset += tensor.bytes.length + filler.length;
  }
  const header = Buffer.concat(parts);
  return Uint8Array.from(Buffer.concat([header, padding(header.length, alignment), ...data]));
}

/** Q8_0 as llama.cpp quantizes: scale = largest / 127 in f16, then whole numbers. */
export function quantizeQ8(values: Float32Array): Uint8Array {
  const blocks = values.length / 32;
  const bytes = new Uint8Array(blocks * 34);
  for (let b = 0; b < blocks; b++) {
    const block = values.subarray(b * 32, b * 32 + 32);
    const scale = Float32Array.of(Math.max(...block.map(Math.abs)) / 127);
    bytes.set(encodeFloats(scale, "F16"), b * 34);
    bytes.set(new Uint8Array(Int8Array.from(block, (value) => Math.round(value / scale[0]!)).buffer), b * 34 + 2);
  }
  return bytes;
}

/** Metadata of a small decoder: 2 layers, width 32, 4 heads, 2 of them for keys. */
export const metadataOf = (architecture: string): Record<string, unknown> => ({
  "general.architecture": architecture,
  [`${architecture}.block_count`]: 1,
  [`${architecture}.context_length`]: 128,
  [`${architecture}.embedding_length`]: 32,
  [`${architecture}.feed_forward_length`]: 64,
  [`${architecture}.attention.head_count`]: 4,
  [`${architecture}.attention.head_count_kv`]: 2,
  [`${architecture}.attention.layer_norm_rms_epsilon`]: Math.fround(1e-5),
  [`${architecture}.rope.freq_base`]: 500000.5,
  "tokenizer.ggml.bos_token_id": 1,
});
