/**
 * Checkpoints on a disk: a folder in the Hub's layout (config and tokenizer files, one weights file or shards with an
 * index), or a single safetensors file.
 *
 * A folder can come from anywhere, so nothing in it leads out of it: names in the index are plain, and a symbolic link
 * must end inside the folder. One exception is the Hub's cache, where `snapshots/<revision>/x` links to `blobs/` of the
 * same repository.
 */
import { createHash } from "node:crypto";
import fs from "node:fs/promises";
import path from "node:path";
import { UserError } from "../../errors.ts";
import { decodeText, isObject, parseJson, show } from "../../json.ts";
import type { Checkpoint, LineageEntry, TensorEntry } from "../checkpoint.ts";
import { refuseOtherKinds, SNIFF_BYTES } from "../file-kind.ts";
import { LINEAGE_KEY, parseLineage } from "../lineage/lineage.ts";
import { type Header, MAX_HEADER_BYTES, type PlacedTensor } from "../safetensors/header.ts";
import { filesOfMetadata, HEAD_FILE, MAX_FILES_BYTES, MODEL_FILES } from "../safetensors/metadata.ts";
import { openError, Source } from "../source.ts";

export const INDEX_SUFFIX = ".safetensors.index.json";
/** Key of the index' metadata that ties it to its shards: SHA-256 over their headers, in order. */
export const INDEX_DIGEST_KEY = "ingot_headers_sha256";

const COLLATOR = new Intl.Collator("en", { numeric: true }); // one for all: making it costs more than comparing with it
/** Order of shards: digits count as numbers, so that shard 10 follows shard 9 without padding. */
export const byNumber = (a: string, b: string): number => COLLATOR.compare(a, b) || (a < b ? -1 : 1);

/** SHA-256 (hex) over the headers of a checkpoint; for a single file that of its header. */
export function digestOfHeaders(digests: readonly string[]): string {
  if (digests.length === 1) return digests[0]!;
  return createHash("sha256").update(digests.join("\n")).digest("hex");
}

/** A tensor whose bytes lie in an open file. */
function entryOf(tensor: PlacedTensor, source: Source, dataStart: number): TensorEntry {
  const { name, dtype, shape, bytes, begin } = tensor;
  const place = `${source.what}: tensor ${show(name)}`;
  return {
    name,
    dtype,
    shape,
    bytes,
    async read(into, offset) {
      if (offset < 0 || offset + into.length > bytes) {
        throw new RangeError(`${place} has ${bytes} bytes; asked for ${into.length} at ${offset}`);
      }
      await source.read(into, dataStart + begin + offset, place);
    },
  };
}

/** Opens a single safetensors file. A file without model files in its metadata takes those beside it. */
export async function openFile(file: string, ref: string, revision?: string): Promise<Checkpoint> {
  const source = Source.open(file, ref);
  try {
    refuseOtherKinds(await source.start(SNIFF_BYTES), ref);
    const header = await source.header();
    let files = filesOfMetadata(header.metadata, ref);
    if (files.size === 0) {
      files = await readFiles(path.dirname(path.resolve(file)), path.dirname(ref));
      // Whatever else lies beside an adapter is not made one by the adapter's config.
      if (!path.basename(file).startsWith("adapter")) files.delete("adapter_config.json");
    }
    return checkpointOf("file", ref, [{ source, header }], files, revision);
  } catch (error) {
    source.close();
    throw error;
  }
}

/**
 * Opens a folder. `warn` hears of weights that are there and not read. Throws UserError when it holds no safetensors
 * weights, or more than one set of them.
 */
export async function openFolder(
  folder: string,
  ref: string,
  revision?: string,
  warn: (message: string) => void = () => {},
): Promise<Checkpoint> {
  const names = await namesIn(folder, ref);
  const weights = weightsOf(names, ref);
  const stale = weights.replace(/\.safetensors$/, INDEX_SUFFIX);
  if (stale !== weights && names.includes(stale)) {
    warn(`${ref}: ${weights} is read; ${stale} and the files that it names are not`);
  }
  const index = weights.endsWith(INDEX_SUFFIX) ? await readIndex(folder, weights, ref) : undefined;
  const shards: Shard[] = [];
  try {
    for (const name of index ? index.shards : [weights]) {
      const what = path.join(ref, name);
      const source = Source.open(await inside(folder, name, ref), what);
      try {
        refuseOtherKinds(await source.start(SNIFF_BYTES), what);
        shards.push({ source, header: await source.header() });
      } catch (error) {
        source.close();
        throw error;
      }
    }
    if (index) checkIndex(index, shards, path.join(ref, weights));
    return checkpointOf("folder", ref, shards, await readFiles(folder, ref), revision);
  } catch (error) {
    for (const { source } of shards) source.close();
    throw error;
  }
}

async function namesIn(folder: string, ref: string): Promise<string[]> {
  const listed = await fs.readdir(folder).catch((error) => {
    throw openError(error, ref);
  });
  return listed.sort(byNumber);
}

/** Name and text of the index that a folder is read through; undefined when it is one file. Throws as opening does. */
export async function indexText(folder: string, ref: string): Promise<{ name: string; text: string } | undefined> {
  const name = weightsOf(await namesIn(folder, ref), ref);
  return name.endsWith(INDEX_SUFFIX) ? { name, text: await readIndexText(folder, name, ref) } : undefined;
}

interface Shard {
  source: Source;
  header: Header;
}

function checkpointOf(
  kind: "file" | "folder",
  ref: string,
  shards: readonly Shard[],
  files: ReadonlyMap<string, Uint8Array>,
  revision: string | undefined,
): Checkpoint {
  const tensors = new Map<string, TensorEntry>();
  let lineage: LineageEntry[] = [];
  for (const { source, header } of shards) {
    for (const tensor of header.tensors) tensors.set(tensor.name, entryOf(tensor, source, header.dataStart));
    if (lineage.length === 0) lineage = parseLineage(header.metadata.get(LINEAGE_KEY), source.what);
  }
  return {
    ref,
    kind,
    tensors,
    files,
    lineage,
    headerSha256: digestOfHeaders(shards.map(({ header }) => header.sha256)),
    ...(revision !== undefined && { revision }),
    close() {
      for (const { source } of shards) source.close();
    },
  };
}

/**
 * Chooses the weights of a folder as PyTorch-side loaders do: one file before an index, standard names before others.
 */
function weightsOf(names: readonly string[], ref: string): string {
  for (const stem of ["model", "adapter_model"]) {
    for (const name of [`${stem}.safetensors`, `${stem}${INDEX_SUFFIX}`]) if (names.includes(name)) return name;
  }
  const indexes = names.filter((name) => name.endsWith(INDEX_SUFFIX));
  const single = names.filter((name) => name.endsWith(".safetensors") && !name.startsWith(".") && name !== HEAD_FILE);
  if (indexes.length === 1) return indexes[0]!;
  if (indexes.length > 1)
    throw new UserError(`${ref} has ${indexes.length} indexes: ${indexes.join(", ")}`, "keep one");
  if (single.length === 1 && !isShard(single[0]!)) return single[0]!;
  if (single.length > 0) {
    throw new UserError(
      `${ref} has no model${INDEX_SUFFIX} that says which of its safetensors files belong together (${show(single[0]!)}${single.length > 1 ? ", ..." : ""})`,
      "the folder is incomplete, or name one of the files",
    );
  }
  const pickled = names.find((name) => /\.(bin|pt|pth|ckpt|pkl)$/.test(name));
  if (pickled !== undefined) {
    throw new UserError(
      `${ref} holds pickled weights (${show(pickled)}) but no safetensors`,
      `give the file: ${path.join(ref, show(pickled))}`,
    );
  }
  const gguf = names.find((name) => name.endsWith(".gguf"));
  if (gguf !== undefined) throw new UserError(`${ref} holds GGUF weights`, `give the file: ${path.join(ref, gguf)}`);
  throw new UserError(`${ref} is a folder without weights`, "expected model.safetensors or shards with an index");
}

/** Whether a name is that of one shard of several, which alone is not a model. */
const isShard = (name: string): boolean => /-\d+-of-0*([2-9]|1\d|[1-9]\d+)\.safetensors$/.test(name);

/** The real path of an entry of a folder. Throws UserError when it leads out of the folder. */
export async function inside(folder: string, name: string, ref: string): Promise<string> {
  const what = path.join(ref, name);
  const root = await fs.realpath(folder);
  const real = await fs.realpath(path.join(root, name)).catch(() => {
    throw new UserError(`${what}: no such file`, "the folder is incomplete; fetch or copy it again");
  });
  const within = (parent: string) => real.startsWith(parent + path.sep);
  if (within(root)) return real;
  const parts = root.split(path.sep);
  const at = parts.lastIndexOf("snapshots");
  const repository = parts.slice(0, at);
  // Shared by all revisions of one repository and by no other.
  const isCache = at > 0 && parts.length > at + 1 && /^(models|datasets|spaces)--/.test(repository.at(-1)!);
  if (isCache && within([...repository, "blobs"].join(path.sep))) return real;
  throw new UserError(
    `${what} links out of the folder, to ${show(real)}`,
    "links must stay inside the folder; copy the file into it, or name the file itself",
  );
}

/** Config, tokenizer and the like, word for word. */
export async function readFiles(folder: string, ref: string): Promise<Map<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>();
  let room = MAX_FILES_BYTES;
  for (const name of MODEL_FILES) {
    // Asked one by one: a folder may give its files and yet not be listed.
    if (!(await fs.lstat(path.join(folder, name)).catch(() => undefined))) continue;
    const what = path.join(ref, name);
    const source = Source.open(await inside(folder, name, ref), what);
    try {
      room -= source.size;
      if (room < 0)
        throw new UserError(`${what} makes the model's files larger than 256 MiB`, "no tokenizer is that large");
      files.set(name, await source.start(source.size));
    } finally {
      source.close();
    }
  }
  return files;
}

interface Index {
  /** File of each tensor. */
  weightMap: ReadonlyMap<string, string>;
  /** In order. */
  shards: readonly string[];
  /** What the headers of the shards must hash to, where the index says so. */
  digest: string | undefined;
}

/** Reads a shard index. Its `total_size` is advisory (writers disagree on what it counts) and not read. */
export async function readIndex(
  folder: string,
  name: string,
  ref: string,
  extension: ".safetensors" | ".bin" = ".safetensors",
): Promise<Index> {
  return parseIndex(await readIndexText(folder, name, ref), path.join(ref, name), extension);
}

/** The text of an index: a regular file inside the folder, of bounded size. */
async function readIndexText(folder: string, name: string, ref: string): Promise<string> {
  const what = path.join(ref, name);
  const source = Source.open(await inside(folder, name, ref), what);
  try {
    if (source.size > MAX_HEADER_BYTES) throw new UserError(`${what} is larger than 100 MB`, "expected a shard index");
    return decodeText(await source.start(source.size), what);
  } finally {
    source.close();
  }
}

/** Parses the text of a shard index. Throws UserError when it is not one or an entry could lead out of the folder. */
export function parseIndex(text: string, what: string, extension = ".safetensors"): Index {
  const { value } = parseJson(text, what, 16);
  const map = isObject(value) && Object.hasOwn(value, "weight_map") ? value.weight_map : undefined;
  if (!isObject(map)) throw new UserError(`${what} has no weight_map`, "expected a shard index in the Hub's format");
  const weightMap = new Map<string, string>();
  for (const [tensor, file] of Object.entries(map)) {
    if (typeof file !== "string" || !isPlainPath(file, extension)) {
      throw new UserError(
        `${what} places tensor ${show(tensor)} in ${show(JSON.stringify(file))}, which is not a ${extension.slice(1)} file inside the folder`,
        "an index names files beside it",
      );
    }
    weightMap.set(tensor, file);
  }
  const metadata = (value as { metadata?: unknown }).metadata as Record<string, unknown> | null | undefined;
  const digest = metadata?.[INDEX_DIGEST_KEY];
  const shards = [...new Set(weightMap.values())].sort(byNumber);
  if (shards.length === 0) throw new UserError(`${what} names no tensor`, "expected a shard index in the Hub's format");
  return { weightMap, shards, digest: typeof digest === "string" ? digest : undefined };
}

/** Relative, without `..`, in characters that mean the same on every system. */
const isPlainPath = (file: string, extension: string): boolean =>
  file.endsWith(extension) &&
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused
  !/[\\:\u0000-\u001f]/.test(file) &&
  file.split("/").every((part) => part !== "" && part !== "." && part !== "..");

/** Index and shards must agree on every tensor. */
function checkIndex(index: Index, shards: readonly Shard[], what: string): void {
  const hint = "index and shards come from different downloads or writes; fetch or write the folder again";
  let found = 0;
  for (const [i, { header }] of shards.entries()) {
    const file = index.shards[i]!;
    for (const { name } of header.tensors) {
      const stated = index.weightMap.get(name);
      if (stated === file) found++;
      else if (stated === undefined)
        throw new UserError(`${what} lacks tensor ${show(name)}, which is in ${file}`, hint);
      else throw new UserError(`${what} says tensor ${show(name)} is in ${stated}, but ${file} has it`, hint);
    }
  }
  if (found !== index.weightMap.size) {
    const held = new Set(shards.flatMap(({ header }) => header.tensors.map(({ name }) => name)));
    const [name, file] = [...index.weightMap].find(([tensor]) => !held.has(tensor))!;
    throw new UserError(`${what} says tensor ${show(name)} is in ${file}, which does not hold it`, hint);
  }
  const digest = digestOfHeaders(shards.map(({ header }) => header.sha256));
  if (index.digest !== undefined && index.digest !== digest) {
    throw new UserError(`${what} belongs to shards of another write`, hint);
  }
}
