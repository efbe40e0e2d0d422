/**
 * GGUF files (llama.cpp) as checkpoints: F32, F16 and BF16 as they are, Q8_0 dequantized to F32 while it is read.
 *
 * For architectures that are known, tensors get their Hugging Face names, shapes and row order, and a config.json is
 * made from the metadata. Anything else keeps the file's names. Format:
 * https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 */
import { createHash } from "node:crypto";
import { UserError } from "../../errors.ts";
import { show } from "../../json.ts";
import type { Checkpoint, TensorEntry } from "../checkpoint.ts";
import { DTYPE_BYTES, type Dtype } from "../dtype.ts";
import { Source } from "../source.ts";
import { type GgufMetadata, translateGguf } from "./model.ts";
import { dequantized, plainBytes, Q8_0_BYTES, Q8_0_WEIGHTS, restoredRows } from "./read.ts";

/** Types that are read: the dtype they come out as, and how many weights and bytes a block has. */
const TYPES: Record<string, { dtype: Dtype; weights: number; bytes: number }> = {
  F32: { dtype: "F32", weights: 1, bytes: 4 },
  F16: { dtype: "F16", weights: 1, bytes: 2 },
  BF16: { dtype: "BF16", weights: 1, bytes: 2 },
  Q8_0: { dtype: "F32", weights: Q8_0_WEIGHTS, bytes: Q8_0_BYTES },
};

/** Least bytes that one takes in a header. */
const LEAST_INFO_BYTES = { tensors: 24, "metadata entries": 13 };
const MAX_ALIGNMENT = 1 << 20;

/** A tensor as the header states it, checked; `shape` in Hugging Face's order (outermost first). */
interface Placed {
  readonly name: string;
  readonly type: string;
  readonly shape: readonly number[];
  readonly count: number;
  readonly begin: number;
  readonly stored: number;
}

/**
 * Opens a GGUF file; only the header is read. `ref` names it in messages. Throws UserError when it is damaged,
 * big-endian, one of several parts, or holds a type that is not read here.
 */
export async function openGguf(path: string, ref: string): Promise<Checkpoint> {
  const source = Source.open(path, ref);
  try {
    const { metadata, tensors, header } = await readHeader(source, ref);
    const translated = await translateGguf(
      metadata,
      tensors.map(({ name, shape, type }) => ({ name, shape, dtype: TYPES[type]!.dtype })),
      (name) => readF32(source, tensors.find((tensor) => tensor.name === name)!, ref),
      ref,
    );
    const entries = new Map<string, TensorEntry>();
    for (const tensor of tensors) {
      const role = translated.roles.get(tensor.name);
      if (role === undefined) continue;
      if (entries.has(role.name)) throw new UserError(`${ref} has two tensors ${show(role.name)}`);
      entries.set(role.name, entryOf(tensor, role.name, role.heads, source, ref));
    }
    return {
      ref,
      kind: "gguf",
      tensors: entries,
      files: translated.files,
      lineage: [],
      headerSha256: createHash("sha256").update(header).digest("hex"),
      close: () => source.close(),
    };
  } catch (error) {
    source.close();
    throw error;
  }
}

function entryOf(tensor: Placed, name: string, heads: number | undefined, source: Source, ref: string): TensorEntry {
  const { dtype } = TYPES[tensor.type]!;
  const bytes = tensor.count * DTYPE_BYTES[dtype];
  const place = `${ref}: tensor ${show(name)}`;
  const stored =
    tensor.type === "Q8_0" ? dequantized(source, tensor.begin, place) : plainBytes(source, tensor.begin, place);
  const read = heads === undefined ? stored : restoredRows(stored, tensor.shape[0]! / heads, bytes / tensor.shape[0]!);
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

/** A small F32 tensor that says something about the model. */
async function readF32(source: Source, tensor: Placed, ref: string): Promise<Float32Array> {
  const values = new Float32Array(tensor.type === "F32" && tensor.count <= 4096 ? tensor.count : 0);
  await source.read(new Uint8Array(values.buffer), tensor.begin, `${ref}: tensor ${show(tensor.name)}`);
  return values;
}

async function readHeader(
  source: Source,
  ref: string,
): Promise<{ metadata: GgufMetadata; tensors: Placed[]; header: Uint8Array }> {
  await checkCounts(source, ref);
  const { gguf, GGMLQuantizationType } = await import("@huggingface/gguf");
  const parsed = await gguf("http://file.invalid/", { fetch: rangesOf(source) }).catch((error: Error) => {
    throw new UserError(
      `${ref} is not a readable GGUF file: ${show(error.message)}`,
      "the file is damaged; fetch it again",
    );
  });
  const metadata: GgufMetadata = new Map(Object.entries(parsed.metadata));
  if (!parsed.littleEndian) throw new UserError(`${ref} is a big-endian GGUF file, expected little-endian`);
  const parts = Number(metadata.get("split.count") ?? 0);
  if (parts > 1) {
    throw new UserError(`${ref} is one of ${parts} parts of a model`, "join them first with llama-gguf-split --merge");
  }

  const alignment = Number(metadata.get("general.alignment") ?? 32);
  const end = parsed.tensorInfoByteRange[1];
  if (!(alignment >= 1 && alignment <= MAX_ALIGNMENT && Number.isInteger(Math.log2(alignment)))) {
    throw new UserError(`${ref}: general.alignment is ${alignment}, expected a power of two up to ${MAX_ALIGNMENT}`);
  }
  if (end > source.size) {
    throw new UserError(
      `${ref} ends inside its header, at byte ${source.size}`,
      "the file is cut short; fetch it again",
    );
  }
  const header = await source.start(end);
  const dataStart = Math.ceil(end / alignment) * alignment;

  const tensors = parsed.tensorInfos.map((info): Placed => {
    const what = `${ref}: tensor ${show(info.name)}`;
    const type = TYPES[GGMLQuantizationType[info.dtype] ?? ""];
    if (type === undefined) {
      throw new UserError(
        `${what} is ${GGMLQuantizationType[info.dtype] ?? `of type ${info.dtype}`}, which is not supported`,
        `supported are ${Object.keys(TYPES).join(", ")}; convert it with llama-quantize --allow-requantize`,
      );
    }
    const shape = info.shape.map(Number).reverse();
    const total = info.shape.reduce((all, size) => all * size, 1n);
    const width = shape.at(-1) ?? 1;
    if (width % type.weights !== 0)
      throw new UserError(`${what} has rows of ${width}, expected a multiple of ${type.weights}`);
    const stored = (total / BigInt(type.weights)) * BigInt(type.bytes);
    const begin = BigInt(dataStart) + info.offset;
    if (begin + stored > BigInt(source.size)) {
      throw new UserError(
        `${what} ends at byte ${begin + stored}, but the file has ${source.size}`,
        "the file is cut short; fetch it again",
      );
    }
    if (info.offset % BigInt(alignment) !== 0n) {
      throw new UserError(`${what} begins at offset ${info.offset}, expected a multiple of ${alignment}`);
    }
    const name = GGMLQuantizationType[info.dtype]!;
    return { name: info.name, type: name, shape, count: Number(total), begin: Number(begin), stored: Number(stored) };
  });
  checkOverlap(tensors, ref);
  return { metadata, tensors, header };
}

/** Refuses counts that the file is too small for, before the parser loops over them. */
async function checkCounts(source: Source, ref: string): Promise<void> {
  const start = await source.start(24);
  const damaged = (what: string) => new UserError(`${ref} ${what}`, "the file is damaged; fetch it again");
  if (start.length < 24) throw damaged(`is ${start.length} bytes long, too short for a GGUF file`);
  const view = new DataView(start.buffer);
  if (view.getUint32(0, false) !== 0x47475546) throw damaged("does not begin with GGUF");
  const version = view.getUint32(4, true);
  if (version !== 2 && version !== 3) {
    throw new UserError(
      `${ref} is GGUF version ${version}, expected 2 or 3 (little-endian)`,
      "convert the model again",
    );
  }
  for (const [what, at] of [
    ["tensors", 8],
    ["metadata entries", 16],
  ] as const) {
    const count = view.getBigUint64(at, true);
    if (count * BigInt(LEAST_INFO_BYTES[what]) > BigInt(source.size)) {
      throw damaged(`says it has ${count} ${what}, more than fit into its ${source.size} bytes`);
    }
  }
}

/**
 * Serves the parser's range requests from the open file. The parser can open local files itself, but by name, a second
 * time, and never stops reading past a header that is cut short.
 */
function rangesOf(source: Source): typeof fetch {
  const serve = async (_: unknown, init?: RequestInit) => {
    const [, first, last] = /(\d+)-(\d+)/.exec(new Headers(init?.headers).get("range") ?? "")!;
    const start = Number(first);
    // It may ask for one stretch after the end, to have some room; a header that needs more is not all there.
    if (start > source.size + 4_000_000) throw new Error("the header runs past the end of the file");
    const bytes = new Uint8Array(Math.max(0, Math.min(Number(last) + 1, source.size) - start));
    await source.read(bytes, start);
    return new Response(bytes);
  };
  return serve as typeof fetch;
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
