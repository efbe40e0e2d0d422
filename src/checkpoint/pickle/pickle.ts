/**
 * PyTorch's files of tensors (`.bin`, `.pt`, `.pth`): a zip archive with a pickle that names the tensors and an entry
 * of raw bytes for each storage. The pickle is read as data (unpickle.ts); no code is ever run, and tensors are read in
 * place.
 *
 * Format: https://github.com/pytorch/pytorch/blob/main/torch/serialization.py (the default since PyTorch 1.6).
 */
import { createHash } from "node:crypto";
import path from "node:path";
import { UserError } from "../../errors.ts";
import { show } from "../../json.ts";
import type { Checkpoint, TensorEntry } from "../checkpoint.ts";
import { DTYPE_BYTES } from "../dtype.ts";
import { isZipFile, refuseOtherKinds, SNIFF_BYTES } from "../file-kind.ts";
import { digestOfHeaders, inside, readFiles, readIndex } from "../folder/folder.ts";
import { Source } from "../source.ts";
import { Refused } from "./globals.ts";
import { stateDict } from "./state-dict.ts";
import { isContiguous, reachOf, stridedRead } from "./strided.ts";
import { unpickle } from "./unpickle.ts";
import type { PyTensor, PyValue } from "./values.ts";
import { readZip, type ZipEntry } from "./zip.ts";

/** The pickle of a model with a hundred thousand tensors has some 20 MB. */
const MAX_PICKLE = 64 * 2 ** 20;

type Warn = (message: string) => void;

interface Opened {
  readonly source: Source;
  readonly tensors: TensorEntry[];
  readonly sha256: string;
}

/** Opens one file. Throws UserError when it is damaged, not one of tensors alone, or holds what is not read. */
export async function openPickle(
  file: string,
  ref: string,
  warn: Warn = () => {},
  revision?: string,
): Promise<Checkpoint> {
  const opened = await openOne(file, ref, warn);
  try {
    const files = await readFiles(path.dirname(path.resolve(file)), path.dirname(ref));
    files.delete("adapter_config.json"); // an adapter's weights are named so, and are no whole model
    return checkpointOf("file", ref, [opened], files, revision);
  } catch (error) {
    opened.source.close();
    throw error;
  }
}

/** Opens a folder whose weights are one file, or several with an index that is named instead. */
export async function openPickledFolder(
  folder: string,
  ref: string,
  weights: string,
  warn: Warn = () => {},
  revision?: string,
): Promise<Checkpoint> {
  const index = weights.endsWith(".json") ? await readIndex(folder, weights, ref, ".bin") : undefined;
  const opened: Opened[] = [];
  try {
    for (const name of index?.shards ?? [weights]) {
      const one = await openOne(await inside(folder, name, ref), path.join(ref, name), warn);
      opened.push(one);
      if (index) checkShard(one, name, index.weightMap);
    }
    const held = new Set(opened.flatMap(({ tensors }) => tensors.map(({ name }) => name)));
    const lost = [...(index?.weightMap.keys() ?? [])].find((name) => !held.has(name));
    if (lost !== undefined) {
      throw new UserError(
        `${ref}: tensor ${show(lost)} of the index is in none of its files`,
        "fetch the folder again",
      );
    }
    return checkpointOf("folder", ref, opened, await readFiles(folder, ref), revision);
  } catch (error) {
    for (const { source } of opened) source.close();
    throw error;
  }
}

function checkShard({ tensors, source }: Opened, file: string, weightMap: ReadonlyMap<string, string>): void {
  for (const { name } of tensors) {
    const stated = weightMap.get(name);
    if (stated === file) continue;
    const where = stated === undefined ? "lacks" : `places in ${show(stated)}`;
    throw new UserError(
      `${source.what} holds tensor ${show(name)}, which the index ${where}`,
      "fetch the folder again",
    );
  }
}

function checkpointOf(
  kind: "file" | "folder",
  ref: string,
  opened: readonly Opened[],
  files: ReadonlyMap<string, Uint8Array>,
  revision: string | undefined,
): Checkpoint {
  return {
    ref,
    kind,
    tensors: new Map(opened.flatMap(({ tensors }) => tensors.map((entry) => [entry.name, entry] as const))),
    files,
    lineage: [],
    ...(revision === undefined ? {} : { revision }),
    headerSha256: digestOfHeaders(opened.map(({ sha256 }) => sha256)),
    close() {
      for (const { source } of opened) source.close();
    },
  };
}

async function openOne(file: string, ref: string, warn: Warn): Promise<Opened> {
  const source = Source.open(file, ref);
  try {
    const start = await source.start(SNIFF_BYTES);
    if (!isZipFile(start)) {
      refuseOtherKinds(start, ref, "a file of torch.save");
      throw new UserError(`${ref} is not a file of torch.save`, "the file is damaged; fetch it again");
    }
    const entries = await readZip(source);
    const main = mainEntry(entries, ref);
    const folder = main.name.slice(0, -"data.pkl".length);
    const order = entries.get(`${folder}byteorder`);
    if (order !== undefined && new TextDecoder().decode(await contents(source, order, 16)) !== "little") {
      throw new UserError(`${ref} is big-endian, expected little-endian`, "save it again on a little-endian machine");
    }
    const pickle = await contents(source, main, MAX_PICKLE);
    const named = stateDict(readPickle(pickle, ref), ref, warn);
    const tensors = [...named].map(([name, tensor]) =>
      entryOf(name, tensor, entries.get(`${folder}data/${tensor.storage.key}`), source),
    );
    return { source, tensors, sha256: createHash("sha256").update(pickle).digest("hex") };
  } catch (error) {
    source.close();
    throw error;
  }
}

function mainEntry(entries: ReadonlyMap<string, ZipEntry>, ref: string): ZipEntry {
  const found = [...entries.values()].filter(({ name }) => /^(?:[^/]*\/)?data\.pkl$/.test(name));
  const hint = "expected a file that torch.save wrote";
  if (found.length !== 1) throw new UserError(`${ref} is a zip file with ${found.length} entries data.pkl`, hint);
  if ([...entries.keys()].some((name) => /(?:^|\/)constants\.pkl$/.test(name))) {
    throw new UserError(`${ref} is a TorchScript program, not a file of tensors`, hint);
  }
  return found[0]!;
}

async function contents(source: Source, entry: ZipEntry, most: number): Promise<Uint8Array> {
  if (entry.size > most) {
    throw new UserError(`${source.what}: ${show(entry.name)} has ${entry.size} bytes, expected at most ${most}`);
  }
  const bytes = new Uint8Array(entry.size);
  await source.read(bytes, entry.begin, `${source.what}: ${show(entry.name)}`);
  return bytes;
}

function readPickle(bytes: Uint8Array, ref: string): PyValue {
  try {
    return unpickle(bytes);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    throw new UserError(
      `${ref}: its pickle ${show(error.message)}`,
      "only files of tensors are read, since anything else in a pickle can run code; save model.state_dict() alone",
    );
  }
}

/** A tensor in a storage, read in the order of its shape whatever the order there. */
function entryOf(name: string, tensor: PyTensor, stored: ZipEntry | undefined, source: Source): TensorEntry {
  const { dtype, shape, strides, offset, storage } = tensor;
  const place = `${source.what}: tensor ${show(name)}`;
  const width = DTYPE_BYTES[dtype];
  if (stored === undefined) {
    throw new UserError(`${place} is in data/${storage.key}, which the file does not have`, "fetch the file again");
  }
  const count = shape.reduce((all, side) => all * side, 1);
  const whole = isContiguous(tensor);
  const reach = whole ? count : reachOf(tensor);
  if (!Number.isSafeInteger(reach) || (offset + reach) * width > stored.size) {
    throw new UserError(`${place} ends after its storage, which has ${stored.size} bytes`, "the file is damaged");
  }
  if (!whole && count > reach) {
    throw new UserError(
      `${place} shows elements of its storage several times: steps (${strides.join(", ")}) for shape (${shape.join(", ")})`,
      "save it with .contiguous()",
    );
  }
  const bytes = count * width;
  const plain: TensorEntry["read"] = (into, from) => source.read(into, stored.begin + offset * width + from, place);
  const read = whole ? plain : stridedRead({ shape, strides, width }, plain);
  return {
    name,
    dtype,
    shape,
    bytes,
    async read(into, from) {
      if (from < 0 || from + into.length > bytes) {
        throw new RangeError(`${place} has ${bytes} bytes; asked for ${into.length} at ${from}`);
      }
      await read(into, from);
    },
  };
}
