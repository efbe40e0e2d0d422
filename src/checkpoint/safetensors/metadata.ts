/**
 * The model's own files (config, tokenizer, chat template) inside `__metadata__`, so that one stream is a whole model.
 *
 * Text up to 1 MiB stands there word for word under its file name. What is longer, or is not text, stands under
 * `<name>+gzip` as base64 of the gzipped file. Only names of the list below are read: a key such as `../x` never
 * becomes a file. Inflation is bounded, because a few kilobytes of gzip can stand for terabytes.
 */
import { gunzipSync, gzipSync } from "node:zlib";
import { UserError } from "../../errors.ts";
import type { LineageEntry } from "../checkpoint.ts";
import { encodeLineage, LINEAGE_KEY } from "../lineage/lineage.ts";

/** Features of texts that make a CLIP a classifier. */
export const HEAD_FILE = "zeroshot_head.safetensors";

/** Files of sentence-transformers; the last lies in a folder of its own. */
export const SENTENCE_FILES: readonly string[] = [
  "modules.json",
  "sentence_bert_config.json",
  "config_sentence_transformers.json",
  "1_Pooling/config.json",
];

/** Files that belong to a model and travel with its weights, in the order in which they are written. */
export const MODEL_FILES: readonly string[] = [
  "config.json",
  "generation_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "chat_template.jinja",
  "chat_template.json",
  "tokenizer.model",
  "vocab.json",
  "vocab.txt",
  "merges.txt",
  "spiece.model",
  "sentencepiece.bpe.model",
  "preprocessor_config.json",
  "processor_config.json",
  "adapter_config.json",
  ...SENTENCE_FILES,
  HEAD_FILE,
];

/**
 * Bytes that the files of one model may take together, as files or inflated. The largest tokenizers take some 40 MB.
 */
export const MAX_FILES_BYTES = 256 * 2 ** 20;
const GZIP = "+gzip";
const PLAIN_BYTES = 2 ** 20;

/** `__metadata__` of a file that carries the whole model, or with no files that of a shard. */
export function encodeMetadata(
  files: ReadonlyMap<string, Uint8Array>,
  lineage: readonly LineageEntry[],
): Map<string, string> {
  const metadata = new Map([["format", "pt"]]); // PyTorch-side loaders refuse a file that does not say so
  for (const name of MODEL_FILES) {
    const bytes = files.get(name);
    if (bytes === undefined) continue;
    const text = bytes.length <= PLAIN_BYTES ? asText(bytes) : undefined;
    if (text !== undefined) metadata.set(name, text);
    else metadata.set(name + GZIP, zip(bytes).toString("base64"));
  }
  if (lineage.length > 0) metadata.set(LINEAGE_KEY, encodeLineage(lineage));
  return metadata;
}

function asText(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

/** gzip without the two fields that differ between machines: the time (already 0) and the operating system. */
function zip(bytes: Uint8Array): Buffer {
  const zipped = gzipSync(bytes);
  zipped.fill(0, 4, 8);
  zipped[9] = 255; // "unknown", RFC 1952 section 2.3.1
  return zipped;
}

/**
 * The model's files out of a file's metadata, by name. Throws UserError that names `what` and the key when a zipped
 * file cannot be read or the files would take more than MAX_FILES_BYTES.
 */
export function filesOfMetadata(metadata: ReadonlyMap<string, string>, what: string): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  let room = MAX_FILES_BYTES;
  for (const name of MODEL_FILES) {
    const text = metadata.get(name);
    const zipped = metadata.get(name + GZIP);
    if (text === undefined && zipped === undefined) continue;
    if (text !== undefined && zipped !== undefined) {
      throw new UserError(
        `${what}: metadata has both ${name} and ${name}${GZIP}`,
        "write the file again with one of them",
      );
    }
    const bytes = text !== undefined ? new TextEncoder().encode(text) : unzip(zipped!, room, `${what}: ${name}${GZIP}`);
    room -= bytes.length;
    if (room < 0) throw tooMuch(`${what}: ${name}`);
    files.set(name, bytes);
  }
  return files;
}

function unzip(base64: string, room: number, place: string): Uint8Array {
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(base64) || base64.length % 4 !== 0) {
    throw new UserError(`${place} is not base64`, "the metadata is damaged; fetch or write the file again");
  }
  try {
    return new Uint8Array(gunzipSync(Buffer.from(base64, "base64"), { maxOutputLength: Math.max(1, room) }));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE") throw tooMuch(place);
    throw new UserError(`${place} is not gzip`, "the metadata is damaged; fetch or write the file again");
  }
}

const tooMuch = (place: string): UserError =>
  new UserError(`${place} makes the model's files larger than 256 MiB`, "no tokenizer or config is that large");
