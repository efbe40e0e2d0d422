/**
 * Encoders of every layout, written from the layouts' descriptions and not from the decoders: random codes and scales,
 * packed bit by bit, with the weights they stand for worked out in f64.
 */
import type { Checkpoint, TensorEntry } from "../../../src/checkpoint/checkpoint.ts";
import { decodeFloats, encodeFloats } from "../../../src/checkpoint/decode.ts";
import { DTYPE_BYTES, type Dtype } from "../../../src/checkpoint/dtype.ts";
import { fileOf, type Made } from "../sample.ts";

export interface Encoded {
  readonly tensors: Made[];
  readonly config: Record<string, unknown>;
  readonly name: string;
  readonly shape: readonly number[];
  /** In the order of the shape. */
  readonly expected: Float32Array;
}

export type Random = () => number;

/** A small generator, the same everywhere. */
export function random(seed: number): Random {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export const made = (name: string, dtype: Dtype, shape: readonly number[], data: Uint8Array): Made => {
  const bytes = shape.reduce((a, b) => a * b, 1) * DTYPE_BYTES[dtype];
  if (bytes !== data.length) throw new Error(`${name} has ${data.length} bytes, expected ${bytes}`);
  return { name, dtype, shape, bytes, data };
};

/** A file of these in memory, as a checkpoint. */
export function checkpointOf(tensors: readonly Made[], config?: Record<string, unknown>): Checkpoint {
  const entries = tensors.map(({ name, dtype, shape, bytes, data }): [string, TensorEntry] => {
    const read = async (into: Uint8Array, offset: number) => into.set(data.subarray(offset, offset + into.length));
    return [name, { name, dtype, shape, bytes, read }];
  });
  const files = new Map(config ? [["config.json", new TextEncoder().encode(JSON.stringify(config))]] : []);
  return { ref: "q", kind: "file", tensors: new Map(entries), files, lineage: [], headerSha256: "", close() {} };
}

/** The same as a safetensors file that carries its config. */
export const encodedFile = ({ tensors, config }: Encoded): Uint8Array =>
  fileOf(tensors, { format: "pt", "config.json": JSON.stringify(config) });

const int = (next: Random, below: number): number => Math.floor(next() * below);

/** Scales that a type holds exactly, negative ones too where that is allowed. */
function scales(next: Random, count: number, dtype: Dtype, signed = false): { data: Uint8Array; values: Float32Array } {
  const raw = Float32Array.from({ length: count }, () => (0.01 + next()) * (signed && next() < 0.5 ? -1 : 1));
  const data = encodeFloats(raw, dtype);
  return { data, values: decodeFloats(data, dtype) };
}

const codes = (next: Random, count: number, bits: number): number[] =>
  Array.from({ length: count }, () => int(next, 2 ** bits));

/** A row of fields as 32-bit words, element 0 in the lowest bits; the last word is filled with zeros. */
export function packRow(fields: readonly number[], bits: number): Uint8Array {
  const words = new Uint32Array(Math.ceil((fields.length * bits) / 32) + 1);
  for (const [k, value] of fields.entries()) {
    const [word, shift] = [Math.floor((k * bits) / 32), (k * bits) % 32];
    const spread = value * 2 ** shift; // exact: at most 39 bits
    words[word]! |= spread % 2 ** 32;
    words[word + 1]! |= Math.floor(spread / 2 ** 32);
  }
  return new Uint8Array(words.buffer, 0, 4 * (words.length - 1));
}

/** Words of columns: field k of column c is `rows[k][c]`. */
function packColumns(rows: readonly (readonly number[])[], bits: number): { data: Uint8Array; words: number } {
  const columns = rows[0]!.map((_, c) =>
    packRow(
      rows.map((row) => row[c]!),
      bits,
    ),
  );
  const words = columns[0]!.length / 4;
  const data = new Uint8Array(4 * words * columns.length);
  for (const [c, column] of columns.entries()) {
    for (let w = 0; w < words; w++) data.set(column.subarray(4 * w, 4 * w + 4), 4 * (w * columns.length + c));
  }
  return { data, words };
}

const matrix = (rows: number, columns: number, value: (r: number, c: number) => number): number[][] =>
  Array.from({ length: rows }, (_, r) => Array.from({ length: columns }, (_, c) => value(r, c)));

const concat = (parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));

const LAYER = "model.layers.0.mlp.up_proj";
const int32 = (values: readonly number[]): Uint8Array => new Uint8Array(Int32Array.from(values).buffer);

/** GPTQ: any size, any order of groups; `v2` stores zero points as they are. */
export function gptq(next: Random, o: number, i: number, bits: number, group: number, order: boolean, v2: boolean) {
  const groups = Math.ceil(i / group);
  const q = matrix(i, o, () => int(next, 2 ** bits));
  const z = matrix(groups, o, () => int(next, 2 ** bits));
  const mask = 2 ** bits - 1;
  const s = scales(next, groups * o, "F16");
  const index = Array.from({ length: i }, (_, k) => (order ? int(next, groups) : Math.floor(k / group)));
  const packed = packColumns(q, bits);
  const zeros = concat(
    z.map((row) =>
      packRow(
        row.map((value) => (v2 ? value : (value - 1) & mask)),
        bits,
      ),
    ),
  );
  const tensors = [
    made(`${LAYER}.g_idx`, "I32", [i], int32(index)),
    made(`${LAYER}.qweight`, "I32", [packed.words, o], packed.data),
    made(`${LAYER}.qzeros`, "I32", [groups, Math.ceil((o * bits) / 32)], zeros),
    made(`${LAYER}.scales`, "F16", [groups, o], s.data),
  ];
  const settings = { quant_method: "gptq", bits, group_size: group, desc_act: order };
  return {
    tensors: order || next() < 0.5 ? tensors : tensors.slice(1),
    config: { quantization_config: { ...settings, ...(v2 && { checkpoint_format: "gptq_v2" }) } },
    name: `${LAYER}.weight`,
    shape: [o, i],
    expected: Float32Array.from({ length: o * i }, (_, n) => {
      const [r, k] = [Math.floor(n / i), n % i];
      const g = index[k]!;
      return s.values[g * o + r]! * (q[k]![r]! - z[g]![r]!);
    }),
  };
}

/** AWQ GEMM; `o` is a multiple of 8. */
export function awq(next: Random, o: number, i: number, group: number): Encoded {
  const order = [0, 2, 4, 6, 1, 3, 5, 7];
  const groups = Math.ceil(i / group);
  const q = matrix(i, o, () => int(next, 16));
  const z = matrix(groups, o, () => int(next, 16));
  const s = scales(next, groups * o, "F16");
  const pack = (rows: number[][]) =>
    concat(
      rows.map((row) =>
        packRow(
          row.map((_, c) => row[c - (c % 8) + order[c % 8]!]!),
          4,
        ),
      ),
    );
  return {
    tensors: [
      made(`${LAYER}.qweight`, "I32", [i, o / 8], pack(q)),
      made(`${LAYER}.qzeros`, "I32", [groups, o / 8], pack(z)),
      made(`${LAYER}.scales`, "F16", [groups, o], s.data),
    ],
    config: { quantization_config: { quant_method: "awq", bits: 4, group_size: group, version: "GEMM" } },
    name: `${LAYER}.weight`,
    shape: [o, i],
    expected: Float32Array.from({ length: o * i }, (_, n) => {
      const [r, k] = [Math.floor(n / i), n % i];
      const g = Math.floor(k / group);
      return s.values[g * o + r]! * (q[k]![r]! - z[g]![r]!);
    }),
  };
}

/** F8 codes without NaN, or I8, with scales in a grid of blocks. */
export function bytes(
  next: Random,
  [o, i]: readonly [number, number],
  [b0, b1]: readonly [number, number],
  dtype: "F8_E4M3" | "F8_E5M2" | "I8",
  kind: "fp8" | "compressed" | "int8",
  zeroPoints = false,
): Encoded {
  const [R, C] = [Math.ceil(o / b0), Math.ceil(i / b1)];
  const data = Uint8Array.from({ length: o * i }, () => {
    const code = int(next, 256);
    return dtype === "I8" || (code & 0x7f) < 0x7c ? code : code & 0x83;
  });
  const values = dtype === "I8" ? Float32Array.from(new Int8Array(data.buffer)) : decodeFloats(data, dtype);
  const s = scales(next, R * C, kind === "compressed" ? "BF16" : "F32");
  const zero = Int8Array.from({ length: R * C }, () => (zeroPoints ? int(next, 200) - 100 : 0));
  const name = `${LAYER}.weight`;
  const scaleName = { fp8: `${name}_scale_inv`, compressed: `${name}_scale`, int8: `${LAYER}.SCB` }[kind];
  const shape = kind === "int8" ? [o] : b0 >= o && b1 >= i ? [1] : [R, C];
  const configs = {
    fp8: { quant_method: "fp8", weight_block_size: [b0, b1] },
    compressed: {
      quant_method: "compressed-tensors",
      config_groups: {
        group_0: { weights: { num_bits: 8, group_size: b0 === 1 ? b1 : null, block_structure: [b0, b1] } },
      },
    },
    int8: { quant_method: "bitsandbytes", load_in_8bit: true },
  };
  return {
    tensors: [
      made(name, dtype, [o, i], data),
      made(scaleName, kind === "compressed" ? "BF16" : "F32", shape, s.data),
      ...(zeroPoints ? [made(`${name}_zero_point`, "I8", shape, new Uint8Array(zero.buffer))] : []),
      ...(kind === "int8" ? [made(`${LAYER}.weight_format`, "U8", [], new Uint8Array(1))] : []),
    ],
    config: { quantization_config: configs[kind] },
    name,
    shape: [o, i],
    expected: Float32Array.from(values, (value, n) => {
      const cell = Math.floor(Math.floor(n / i) / b0) * C + Math.floor((n % i) / b1);
      const scale = kind === "int8" ? Math.fround(s.values[cell]! / 127) : s.values[cell]!;
      return (value - zero[cell]!) * scale;
    }),
  };
}

/** compressed-tensors pack-quantized, with or without zero points and an order of groups. */
export function packed(next: Random, o: number, i: number, bits: number, group: number, zero: boolean, order: boolean) {
  const groups = Math.ceil(i / group);
  const u = matrix(o, i, () => int(next, 2 ** bits));
  const z = matrix(o, groups, () => (zero ? int(next, 2 ** bits) : 2 ** (bits - 1)));
  const s = scales(next, o * groups, "BF16");
  const index = Array.from({ length: i }, (_, k) => (order ? int(next, groups) : Math.floor(k / group)));
  const zeros = packColumns(z, bits);
  const shape = new Uint8Array(BigInt64Array.of(BigInt(o), BigInt(i)).buffer);
  return {
    tensors: [
      made(
        `${LAYER}.weight_packed`,
        "I32",
        [o, Math.ceil((i * bits) / 32)],
        concat(u.map((row) => packRow(row, bits))),
      ),
      made(`${LAYER}.weight_scale`, "BF16", [o, groups], s.data),
      made(`${LAYER}.weight_shape`, "I64", [2], shape),
      ...(zero ? [made(`${LAYER}.weight_zero_point`, "I32", [zeros.words, groups], zeros.data)] : []),
      ...(order ? [made(`${LAYER}.weight_g_idx`, "I32", [i], int32(index))] : []),
    ],
    config: {
      quantization_config: {
        quant_method: "compressed-tensors",
        format: "pack-quantized",
        config_groups: { group_0: { weights: { num_bits: bits, group_size: group, symmetric: !zero } } },
      },
    },
    name: `${LAYER}.weight`,
    shape: [o, i],
    expected: Float32Array.from({ length: o * i }, (_, n) => {
      const [r, k] = [Math.floor(n / i), n % i];
      return s.values[r * groups + index[k]!]! * (u[r]![k]! - z[r]![index[k]!]!);
    }),
  };
}

const VALUES = [0, 0.5, 1, 1.5, 2, 3, 4, 6, -0, -0.5, -1, -1.5, -2, -3, -4, -6];

/** Two nibbles to a byte, low first or high first. */
const nibbles = (fields: readonly number[], highFirst = false): Uint8Array =>
  Uint8Array.from({ length: Math.ceil(fields.length / 2) }, (_, k) => {
    const [a, b] = [fields[2 * k]!, fields[2 * k + 1] ?? 0];
    return highFirst ? (a << 4) | b : a | (b << 4);
  });

/** NVFP4 of compressed-tensors; `i` is a multiple of 16. */
export function nvfp4(next: Random, o: number, i: number): Encoded {
  const q = codes(next, o * i, 4);
  const s = scales(next, (o * i) / 16, "F8_E4M3");
  const global = Float32Array.of(3 + next());
  return {
    tensors: [
      made(`${LAYER}.weight_global_scale`, "F32", [1], new Uint8Array(global.buffer)),
      made(`${LAYER}.weight_packed`, "U8", [o, i / 2], nibbles(q)),
      made(`${LAYER}.weight_scale`, "F8_E4M3", [o, i / 16], s.data),
    ],
    config: { quantization_config: { quant_method: "compressed-tensors", format: "nvfp4-pack-quantized" } },
    name: `${LAYER}.weight`,
    shape: [o, i],
    expected: Float32Array.from(
      q,
      (code, n) => VALUES[code]! * Math.fround(s.values[Math.floor(n / 16)]! / global[0]!),
    ),
  };
}

/** Four bits of bitsandbytes with any map of values. */
export function bitsandbytes(next: Random, shape: readonly number[], blocksize: number, nested: boolean): Encoded {
  const name = `${LAYER}.weight`;
  const count = shape.reduce((a, b) => a * b, 1);
  const blocks = Math.ceil(count / blocksize);
  const q = codes(next, count, 4);
  const map = scales(next, 16, "F32", true);
  const state = JSON.stringify({ quant_type: "fp4", blocksize, shape, nested_blocksize: 3, nested_offset: 0.25 });
  const plain = scales(next, blocks, "F32");
  const inner = { map: scales(next, 256, "F32", true), scale: scales(next, Math.ceil(blocks / 3), "F32") };
  const absmax = codes(next, blocks, 8);
  const nestedScales = absmax.map((code, k) =>
    Math.fround(Math.fround(inner.map.values[code]! * inner.scale.values[Math.floor(k / 3)]!) + 0.25),
  );
  const scale = nested ? nestedScales : plain.values;
  return {
    tensors: [
      made(name, "U8", [Math.ceil(count / 2), 1], nibbles(q, true)),
      nested
        ? made(`${name}.absmax`, "U8", [blocks], Uint8Array.from(absmax))
        : made(`${name}.absmax`, "F32", [blocks], plain.data),
      made(`${name}.quant_map`, "F32", [16], map.data),
      ...(nested
        ? [
            made(`${name}.nested_absmax`, "F32", [Math.ceil(blocks / 3)], inner.scale.data),
            made(`${name}.nested_quant_map`, "F32", [256], inner.map.data),
          ]
        : []),
      made(`${name}.quant_state.bitsandbytes__fp4`, "U8", [state.length], new TextEncoder().encode(state)),
    ],
    config: { quantization_config: { quant_method: "bitsandbytes", load_in_4bit: true } },
    name,
    shape,
    expected: Float32Array.from(q, (code, n) => map.values[code]! * scale[Math.floor(n / blocksize)]!),
  };
}

/** MXFP4 experts: E matrices of `rows` outputs and `groups` times 32 inputs. */
export function mxfp4(next: Random, experts: number, rows: number, groups: number): Encoded {
  const columns = 32 * groups;
  const q = codes(next, experts * rows * columns, 4);
  const exponents = codes(next, experts * rows * groups, 8).map((e) => (e === 255 ? 254 : e));
  const expected = new Float32Array(experts * rows * columns);
  for (const [n, code] of q.entries()) {
    const [e, r, c] = [Math.floor(n / rows / columns), Math.floor(n / columns) % rows, n % columns];
    expected[(e * columns + c) * rows + r] = VALUES[code]! * 2 ** (exponents[Math.floor(n / 32)]! - 127);
  }
  const name = "model.layers.0.mlp.experts.down_proj";
  return {
    tensors: [
      made(`${name}_blocks`, "U8", [experts, rows, groups, 16], nibbles(q)),
      made(`${name}_scales`, "U8", [experts, rows, groups], Uint8Array.from(exponents)),
    ],
    config: { quantization_config: { quant_method: "mxfp4" } },
    name,
    shape: [experts, columns, rows],
    expected,
  };
}

/** MLX affine of a stack of matrices; `group * bits` is a multiple of 32. */
export function mlx(next: Random, lead: readonly number[], groups: number, group: number, bits: number): Encoded {
  const [rows, i] = [lead.reduce((a, b) => a * b, 1), groups * group];
  const q = matrix(rows, i, () => int(next, 2 ** bits));
  const s = scales(next, rows * groups, "BF16", true);
  const b = scales(next, rows * groups, "BF16", true);
  const name = `${LAYER}.weight`;
  return {
    tensors: [
      made(`${LAYER}.biases`, "BF16", [...lead, groups], b.data),
      made(`${LAYER}.scales`, "BF16", [...lead, groups], s.data),
      made(name, "U32", [...lead, (i * bits) / 32], concat(q.map((row) => packRow(row, bits)))),
    ],
    config: { quantization: { group_size: 64, bits: 4, [LAYER]: { group_size: group, bits } } },
    name,
    shape: [...lead, i],
    expected: Float32Array.from(q.flat(), (code, n) => {
      const cell = Math.floor(n / i) * groups + Math.floor((n % i) / group);
      return code * s.values[cell]! + b.values[cell]!;
    }),
  };
}

/** One of every layout, small, for tests of what all have in common. */
export const everyLayout = (next: Random): Record<string, Encoded> => ({
  GPTQ: gptq(next, 24, 40, 4, 16, true, false),
  AWQ: awq(next, 16, 24, 8),
  FP8: bytes(next, [20, 30], [8, 12], "F8_E4M3", "fp8"),
  "compressed-tensors float-quantized": bytes(next, [6, 10], [1, 10], "F8_E4M3", "compressed"),
  "compressed-tensors int-quantized": bytes(next, [6, 10], [1, 5], "I8", "compressed", true),
  "compressed-tensors pack-quantized": packed(next, 12, 40, 4, 20, true, true),
  "compressed-tensors NVFP4": nvfp4(next, 5, 48),
  "bitsandbytes FP4": bitsandbytes(next, [9, 14], 16, true),
  "bitsandbytes int8": bytes(next, [7, 12], [1, 12], "I8", "int8"),
  MXFP4: mxfp4(next, 2, 10, 2),
  "MLX affine": mlx(next, [2, 5], 2, 32, 6),
});
