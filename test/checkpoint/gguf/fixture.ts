/** Writes small GGUF files by hand, metadata and tables alike. */
import { encodeFloats } from "../../../src/checkpoint/decode.ts";

export const TYPE = {
  F32: 0,
  F16: 1,
  Q8_0: 8,
  Q8_1: 9,
  Q4_K: 12,
  Q8_K: 15,
  IQ4_XS: 23,
  I16: 25,
  F64: 28,
  BF16: 30,
  MXFP4: 39,
} as const;

export interface GgufTensor {
  name: string;
  /** As GGUF has them: innermost first. */
  dims: (number | bigint)[];
  type: number;
  bytes: Uint8Array;
  /** Instead of the next free place. */
  offset?: bigint;
}

const u32 = (value: number) => new Uint8Array(Uint32Array.of(value).buffer);
const f32 = (value: number) => new Uint8Array(Float32Array.of(value).buffer);
const u64 = (value: number | bigint) => new Uint8Array(BigUint64Array.of(BigInt(value)).buffer);
const padding = (length: number, alignment: number) =>
  new Uint8Array(Math.ceil(length / alignment) * alignment - length);

const text = (value: string) => {
  const bytes = new TextEncoder().encode(value);
  return Buffer.concat([u64(bytes.length), bytes]);
};

/** Type and bytes of a value: texts, booleans, big integers (u64), whole numbers (u32), other numbers (f32), lists. */
function encoded(value: unknown): { type: number; bytes: Uint8Array } {
  if (typeof value === "string") return { type: 8, bytes: text(value) };
  if (typeof value === "boolean") return { type: 7, bytes: Uint8Array.of(value ? 1 : 0) };
  if (typeof value === "bigint") return { type: 10, bytes: u64(value) };
  if (Array.isArray(value)) {
    const whole = value.every((one) => typeof one !== "number" || Number.isInteger(one));
    const elements = value.map((one) => (whole ? encoded(one) : { type: 6, bytes: f32(one) }));
    const head = [u32(elements[0]?.type ?? 4), u64(value.length)];
    return { type: 9, bytes: Buffer.concat([...head, ...elements.map(({ bytes }) => bytes)]) };
  }
  const whole = Number.isInteger(value);
  return whole ? { type: 4, bytes: u32(value as number) } : { type: 6, bytes: f32(value as number) };
}

export function buildGguf(metadata: Record<string, unknown>, tensors: GgufTensor[]): Uint8Array<ArrayBuffer> {
  const alignment = Number(metadata["general.alignment"] ?? 32);
  const entries = Object.entries(metadata);
  const parts: Uint8Array[] = [Buffer.from("GGUF"), u32(3), u64(tensors.length), u64(entries.length)];
  for (const [key, value] of entries) {
    const { type, bytes } = encoded(value);
    parts.push(text(key), u32(type), bytes);
  }
  const data: Uint8Array[] = [];
  let offset = 0;
  for (const tensor of tensors) {
    parts.push(text(tensor.name), u32(tensor.dims.length), ...tensor.dims.map(u64), u32(tensor.type));
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
