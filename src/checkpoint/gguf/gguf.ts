/**
 * GGUF files (llama.cpp) as checkpoints: plain tensors as they are, quantized ones as F32, decoded while they are read.
 *
 * For architectures that are known, tensors get their Hugging Face names, shapes and row order, and a config.json is
 * made from the metadata. Anything else keeps the file's names. The tokenizer becomes tokenizer.json and its
 * companions. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 */
import { createHash } from "node:crypto";
import { UserError } from "../../errors.ts";
import { show } from "../../json.ts";
import type { Checkpoint, LineageEntry, QuantizedPart, TensorEntry } from "../checkpoint.ts";
import { DTYPE_BYTES } from "../dtype.ts";
import { digestOfHeaders } from "../folder/folder.ts";
import { LINEAGE_KEY, parseLineage } from "../lineage/lineage.ts";
import type { Source } from "../source.ts";
import { EXPERT } from "./architecture.ts";
import { decodedBlocks } from "./blocks/block.ts";
import type { GgufMetadata, GgufTensorInfo } from "./header.ts";
import { type Role, translateGguf } from "./model.ts";

import { type GgufPart, openParts } from "./parts.ts";
import { lessOne, plainBytes, restoredRows } from "./read.ts";
import { tokenizerFiles } from "./tokenizer.ts";
import { GGUF_TYPES, type GgufType, unreadType } from "./types.ts";

const MAX_ALIGNMENT = 1 << 20;
/** A head has at most 1024 rotary pairs or so; a table of factors is no longer. */
const MAX_TABLE = 4096;

/** A tensor as the header states it, checked; `shape` in Hugging Face's order (outermost first). */
interface Placed {
  readonly source: Source;
  readonly name: string;
  readonly type: GgufType;
  readonly shape: readonly number[];
  readonly count: number;
  readonly begin: number;
  readonly stored: number;
}

/**
 * Opens a GGUF file, and with it the other parts of its model; only headers are read. `ref` names it in messages;
 * `warn` hears of a tokenizer that is not read. Throws UserError when a file is damaged, big-endian or missing, or
 * holds a type that is not read here.
 */
export async function openGguf(
  path: string,
  ref: string,
  warn: (message: string) => void = () => {},
): Promise<Checkpoint> {
  const parts = await openParts(path, ref);
  const close = () => {
    for (const { source } of parts) source.close();
  };
  try {
    const { metadata } = parts[0]!.header;
    const tensors = parts.flatMap(placed);
    const { roles, config } = await translateGguf({
      ref,
      metadata,
      tensors: tensors.map(({ name, shape, type }) => ({ name, shape, dtype: type.dtype })),
      read: (name) => readF32(tensors.find((tensor) => tensor.name === name)!),
    });
    const entries = new Map<string, TensorEntry>();
    for (const tensor of tensors) {
      const role = roles.get(tensor.name);
      if (role === undefined) continue;
      for (const entry of entriesOf(tensor, role)) {
        if (entries.has(entry.name)) throw new UserError(`${ref} has two tensors ${show(entry.name)}`);
        entries.set(entry.name, entry);
      }
    }
    const files = new Map<string, Uint8Array>();
    if (config !== undefined) files.set("config.json", jsonBytes(config));
    for (const [name, text] of tokenizerFiles(metadata, ref, warn)) files.set(name, new TextEncoder().encode(text));
    const quantized = quantizedParts(tensors);
    return {
      ref,
      kind: "gguf",
      tensors: entries,
      files,
      lineage: historyOf(metadata, ref),
      ...(quantized.length > 0 ? { quantized } : {}),
      headerSha256: digestOfHeaders(parts.map(({ header }) => sha256(header.bytes))),
      close,
    };
  } catch (error) {
    close();
    throw error;
  }
}

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** The lineage that ingot wrote; none in a file of another tool. Throws UserError when it is damaged. */
function historyOf(metadata: GgufMetadata, ref: string): LineageEntry[] {
  const lineage = metadata.get(LINEAGE_KEY);
  return parseLineage(typeof lineage === "string" ? lineage : undefined, ref);
}

/** What tensors are decoded from, by type. */
function quantizedParts(tensors: readonly Placed[]): QuantizedPart[] {
  const parts = new Map<string, QuantizedPart>();
  for (const { type, stored } of tensors) {
    if (type.blocks === undefined) continue;
    const before = parts.get(type.name);
    parts.set(type.name, {
      layout: `GGUF ${type.name}`,
      bits: type.bits!,
      group: `blocks of ${type.blocks.weights}`,
      tensors: (before?.tensors ?? 0) + 1,
      bytes: (before?.bytes ?? 0) + stored,
    });
  }
  return [...parts.values()];
}

const jsonBytes = (value: unknown): Uint8Array => new TextEncoder().encode(`${JSON.stringify(value, null, 2)}\n`);

/** A stored tensor as one entry, or as one for each of its experts. */
function entriesOf(tensor: Placed, { name, heads, experts, gain, row }: Role): TensorEntry[] {
  const whole = entryOf(row && tensor.shape.length === 1 ? { ...tensor, shape: [1, ...tensor.shape] } : tensor, name, {
    heads,
    gain,
  });
  if (experts === undefined) return [whole];
  const bytes = whole.bytes / experts;
  return Array.from({ length: experts }, (_, expert) => ({
    ...whole,
    name: name.replace(EXPERT, String(expert)),
    shape: whole.shape.slice(1),
    bytes,
    async read(into: Uint8Array, offset: number) {
      if (offset < 0 || offset + into.length > bytes) {
        throw new RangeError(`expert ${expert} of ${name} has ${bytes} bytes; asked for ${into.length} at ${offset}`);
      }
      await whole.read(into, expert * bytes + offset);
    },
  }));
}

function entryOf(
  tensor: Placed,
  name: string,
  { heads, gain }: { heads: number | undefined; gain: true | undefined },
): TensorEntry {
  const { source } = tensor;
  const { dtype, blocks } = tensor.type;
  const bytes = tensor.count * DTYPE_BYTES[dtype];
  const place = `${source.what}: tensor ${show(name)}`;
  if (gain && tensor.type.name !== "F32") {
    throw new UserError(`${place} is ${tensor.type.name}, expected F32 for a norm`, "the file is damaged");
  }
  const stored = blocks ? decodedBlocks(blocks, source, tensor.begin, place) : plainBytes(source, tensor.begin, place);
  const plain = gain ? lessOne(stored) : stored;
  const read = heads === undefined ? plain : restoredRows(stored, tensor.shape[0]! / heads, bytes / tensor.shape[0]!);
  return {
    name,
    dtype,
    shape: tensor.shape,
    bytes,
    async read(into, offset) {
      if (offset < 0 || offset + into.length > bytes) {
        throw new RangeError(`${place} has ${bytes} bytes; asked for ${into.length} at ${offset}`);
      }
      await read(into, offset);
    },
  };
}

/** A small F32 tensor that says something about the model; empty when it is neither small nor F32. */
async function readF32(tensor: Placed): Promise<Float32Array> {
  const { source } = tensor;
  const values = new Float32Array(tensor.type.name === "F32" && tensor.count <= MAX_TABLE ? tensor.count : 0);
  await source.read(new Uint8Array(values.buffer), tensor.begin, `${source.what}: tensor ${show(tensor.name)}`);
  return values;
}

/** The tensors with their places in the file, in the order of the table. Throws UserError when they do not fit it. */
function placed({ source, header: { metadata, tensors: infos, bytes } }: GgufPart): Placed[] {
  const ref = source.what;
  const alignment = alignmentOf(metadata, ref);
  const dataStart = Math.ceil(bytes.length / alignment) * alignment;
  const tensors = infos.map((info) => place(info, { source, alignment, dataStart }));
  checkOverlap(tensors, ref);
  return tensors;
}

/** Bytes that a file's data begin at a multiple of. Throws UserError. */
export function alignmentOf(metadata: GgufMetadata, ref: string): number {
  const alignment = Number(metadata.get("general.alignment") ?? 32);
  if (!(alignment >= 1 && alignment <= MAX_ALIGNMENT && Number.isInteger(Math.log2(alignment)))) {
    throw new UserError(`${ref}: general.alignment is ${alignment}, expected a power of two up to ${MAX_ALIGNMENT}`);
  }
  return alignment;
}

function place(
  info: GgufTensorInfo,
  { source, alignment, dataStart }: { source: Source; alignment: number; dataStart: number },
): Placed {
  const what = `${source.what}: tensor ${show(info.name)}`;
  const type = Object.hasOwn(GGUF_TYPES, info.type) ? GGUF_TYPES[info.type] : undefined;
  if (type === undefined) {
    throw new UserError(
      `${what} is ${unreadType(info.type)}, which is not supported`,
      `supported are ${Object.values(GGUF_TYPES)
        .map(({ name }) => name)
        .join(", ")}; convert it with llama-quantize --allow-requantize`,
    );
  }
  const { weights, bytes } = type.blocks ?? { weights: 1, bytes: DTYPE_BYTES[type.dtype] };
  const shape = info.sides.map(Number).reverse();
  const width = shape.at(-1) ?? 1;
  if (width % weights !== 0) throw new UserError(`${what} has rows of ${width}, expected a multiple of ${weights}`);
  // As big integers: four sides of 64 bits overflow everything else.
  const total = info.sides.reduce((all, size) => all * size, 1n);
  const stored = (total / BigInt(weights)) * BigInt(bytes);
  const begin = BigInt(dataStart) + info.offset;
  if (begin + stored > BigInt(source.size) || info.sides.some((side) => side > Number.MAX_SAFE_INTEGER)) {
    throw new UserError(
      `${what} ends at byte ${begin + stored}, but the file has ${source.size}`,
      "the file is cut short; fetch it again",
    );
  }
  if (info.offset % BigInt(alignment) !== 0n) {
    throw new UserError(`${what} begins at offset ${info.offset}, expected a multiple of ${alignment}`);
  }
  return { source, name: info.name, type, shape, count: Number(total), begin: Number(begin), stored: Number(stored) };
}

function checkOverlap(tensors: readonly Placed[], ref: string): void {
  const ordered = tensors.filter(({ stored }) => stored > 0).sort((one, other) => one.begin - other.begin);
  for (const [i, tensor] of ordered.entries()) {
    const before = ordered[i - 1];
    if (before !== undefined && before.begin + before.stored > tensor.begin) {
      throw new UserError(
        `${ref}: tensors ${show(before.name)} and ${show(tensor.name)} overlap`,
        "the file is damaged",
      );
    }
  }
}
