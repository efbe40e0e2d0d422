/**
 * Opens whatever stands for a checkpoint on a command line: a folder, a safetensors or GGUF file, a stream, a model of
 * the Hub, an adapter with or without its base.
 */
import fs from "node:fs";
import path from "node:path";
import tty from "node:tty";
import { UserError } from "../errors.ts";
import { decodeText, isObject, parseJson, show } from "../json.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { withSplitExperts } from "./expert-layout.ts";
import { isGguf, isZipFile, SNIFF_BYTES } from "./file-kind.ts";
import { openFile, openFolder } from "./folder/folder.ts";
import { mayBeQuantized } from "./quantized/signs.ts";
import { openError, Source } from "./source.ts";
import { openStream } from "./stream/stream.ts";
import { withPlainNames } from "./wrapper-names.ts";

export interface OpenOptions {
  /** Descriptor read for `-`; 0 by default. */
  stdin?: number;
  /** Gets what is odd but harmless: about a file, an adapter, the names of tensors, or quantised weights. */
  warn?: (message: string) => void;
  /** "list" gives a quantised checkpoint that no decoder reads as it is stored; it is refused otherwise. */
  undecoded?: "list";
  /**
   * Whether an adapter may stay beside its base, as `live`, where it does not fold; it is refused otherwise. "all": it
   * does so in any case.
   */
  live?: boolean | "all";
}

/**
 * Opens a reference:
 *
 *   model/  x.safetensors  x.gguf  x.bin  on the disk
 *   -  /dev/stdin  /dev/fd/63  a FIFO   streams
 *   hf:org/name[@rev][:file]            the Hub, through its cache
 *   base+adapter                        an adapter applied to a base; an adapter alone names its base itself
 *
 * Only headers and the model's files are read here; tensors are read when asked for, until the checkpoint is closed.
 * Throws UserError that begins with the reference when there is nothing, something else, or something damaged.
 *
 *     const model = await open("base/+adapter/", { warn: console.warn });
 *     const entry = model.tensors.get("model.norm.weight")!;
 *     const bytes = new Uint8Array(entry.bytes); // (C) elements of entry.dtype, little-endian
 *     await entry.read(bytes, 0);
 *     model.close();
 */
export async function open(ref: string, options: OpenOptions = {}): Promise<Checkpoint> {
  const parts = splitAdapter(ref);
  if (parts) {
    const base = await open(parts.base, options);
    try {
      return await apply(base, await openPlain(parts.adapter, options), options);
    } catch (error) {
      base.close();
      throw error;
    }
  }
  const checkpoint = await openPlain(ref, options);
  if (!(await mayBeAdapter(checkpoint))) return decodePlain(checkpoint, options);
  const { isAdapter } = await import("./adapter/adapter.ts");
  if (!isAdapter(checkpoint)) return decodePlain(checkpoint, options);
  let base: Checkpoint;
  try {
    const { refuseUnread } = await import("./adapter/foreign.ts");
    refuseUnread(checkpoint);
    base = await open(baseOf(checkpoint), options);
  } catch (error) {
    checkpoint.close();
    throw error;
  }
  return apply(base, checkpoint, options);
}

/** Tensors of a quantised checkpoint as plain ones; an adapter stays as it is. Closes it when that cannot be. */
export async function decodePlain(checkpoint: Checkpoint, { warn, undecoded }: OpenOptions): Promise<Checkpoint> {
  if (!mayBeQuantized(checkpoint)) return checkpoint;
  try {
    const { dequantized } = await import("./quantized/dequantize.ts");
    const plain = await dequantized(checkpoint, { warn, list: undecoded === "list" });
    return withSplitExperts(plain, warn ?? (() => {}));
  } catch (error) {
    checkpoint.close();
    throw error;
  }
}

/** Whether it may be an adapter. What adapter.ts decides needs that file, which a plain checkpoint does not load. */
async function mayBeAdapter({ files, tensors }: Checkpoint): Promise<boolean> {
  if (files.has("adapter_config.json")) return true;
  for (const name of tensors.keys()) if (name.includes("lora_")) return true;
  const { hasForeignTensors } = await import("./adapter/foreign.ts");
  return hasForeignTensors(tensors.keys());
}

async function apply(base: Checkpoint, adapter: Checkpoint, { warn, live }: OpenOptions): Promise<Checkpoint> {
  const { applyAdapter, isAdapter } = await import("./adapter/adapter.ts");
  try {
    if (!isAdapter(adapter)) {
      throw new UserError(
        `${adapter.ref} is not an adapter; only an adapter can be added to ${base.ref}`,
        "expected a folder with adapter_config.json and adapter_model.safetensors",
      );
    }
    return await applyAdapter(base, adapter, { ...(warn && { warn }), ...(live && { live }) });
  } catch (error) {
    adapter.close();
    base.close();
    throw error;
  }
}

/** Opens one thing as it is: an adapter stays an adapter. Throws as `open` does. */
export async function openPlain(ref: string, options: OpenOptions = {}): Promise<Checkpoint> {
  const checkpoint = await openStored(ref, options);
  try {
    const warn = options.warn ?? (() => {});
    return withSplitExperts(withPlainNames(checkpoint, warn), warn);
  } catch (error) {
    checkpoint.close();
    throw error;
  }
}

/** Opens one thing under the names that it stores. */
async function openStored(ref: string, options: OpenOptions): Promise<Checkpoint> {
  if (ref === "") throw new UserError("The name of a checkpoint is empty", "is a shell variable unset?");
  const fd = descriptorOf(ref, options);
  if (fd !== undefined && tty.isatty(fd)) {
    throw new UserError(
      `${ref} is a terminal; expected a checkpoint from a pipe`,
      "pipe one in, or name a folder or file",
    );
  }
  if (fd !== undefined) return openStream(fd, fd === 0 || ref === "-" ? "stdin" : ref, ref);
  if (ref.startsWith("hf:")) {
    const { resolveHub } = await import("./hub/hub.ts");
    const { path: found, revision } = await resolveHub(ref);
    return openPath(found, ref, options, revision);
  }
  return openPath(ref, ref, options);
}

async function openPath(found: string, ref: string, options: OpenOptions, revision?: string): Promise<Checkpoint> {
  let stat: fs.Stats;
  try {
    stat = await fs.promises.stat(found);
  } catch (error) {
    throw openError(error as NodeJS.ErrnoException, ref);
  }
  if (stat.isDirectory()) return openAnyFolder(found, ref, options, revision);
  if (stat.isFIFO() || stat.isCharacterDevice()) return openPipe(found, ref);
  const source = Source.open(found, ref);
  const start = await source.start(SNIFF_BYTES).finally(() => source.close());
  if (isGguf(start)) {
    const { openGguf } = await import("./gguf/gguf.ts");
    return openGguf(found, ref, options.warn);
  }
  if (!isZipFile(start)) return openFile(found, ref, revision);
  const { openPickle } = await import("./pickle/pickle.ts");
  return openPickle(found, ref, options.warn, revision);
}

/** A folder of safetensors or, where it has none, of PyTorch's own files. */
async function openAnyFolder(folder: string, ref: string, { warn }: OpenOptions, revision?: string) {
  const names = await fs.promises.readdir(folder).catch(() => []); // openFolder says why
  const weights = names.some((name) => name.includes(".safetensors")) ? undefined : pickledWeights(names);
  if (weights === undefined) return openFolder(folder, ref, revision, warn);
  const { openPickledFolder } = await import("./pickle/pickle.ts");
  return openPickledFolder(folder, ref, weights, warn, revision);
}

/** The name under which PyTorch-side tools keep pickled weights in a folder, or their index. */
const pickledWeights = (names: readonly string[]): string | undefined =>
  ["pytorch_model.bin", "pytorch_model.bin.index.json", "adapter_model.bin"].find((name) => names.includes(name));

/** Opening a FIFO waits for its writer, so it is done off the main thread. */
async function openPipe(file: string, ref: string): Promise<Checkpoint> {
  const fd = await new Promise<number>((resolve, reject) => {
    fs.open(file, "r", (error, n) => (error ? reject(openError(error, ref)) : resolve(n)));
  });
  return openStream(fd, ref, ref, true);
}

/**
 * The descriptor a reference means. `/dev/fd/N` is used as N and not opened: where N is a socket, as some shells and
 * parents pass, opening it fails.
 */
function descriptorOf(ref: string, options: OpenOptions): number | undefined {
  if (ref === "-" || ref === "/dev/stdin") return options.stdin ?? 0;
  const match = /^\/(?:dev|proc\/self)\/fd\/(\d{1,6})$/.exec(ref);
  return match ? Number(match[1]) : undefined;
}

/** Splits `base+adapter` at its last plus sign. A path that has one in its name and exists is taken as it is. */
export function splitAdapter(ref: string): { base: string; adapter: string } | undefined {
  if (!ref.includes("+") || fs.existsSync(ref)) return undefined;
  let fallback: { base: string; adapter: string } | undefined;
  for (let at = ref.lastIndexOf("+"); at > 0; at = ref.lastIndexOf("+", at - 1)) {
    const adapter = ref.slice(at + 1);
    if (adapter === "") continue;
    const parts = { base: ref.slice(0, at), adapter };
    if (adapter.startsWith("hf:") || fs.existsSync(adapter)) return parts;
    fallback ??= parts;
  }
  return fallback;
}

/**
 * The base that an adapter's own config names. An adapter from the Hub can only name a model of the Hub: a download
 * must not choose among this machine's files. A local one can only name a local folder: no network without an `hf:`.
 */
function baseOf(adapter: Checkpoint): string {
  const what = `${adapter.ref}: adapter_config.json`;
  const config = adapter.files.get("adapter_config.json");
  if (config === undefined) {
    throw new UserError(`${adapter.ref} is an adapter without adapter_config.json`, "fetch that file beside it");
  }
  const { value } = parseJson(decodeText(config, what), what);
  const name = isObject(value) ? value.base_model_name_or_path : undefined;
  if (typeof name !== "string" || name === "") {
    throw new UserError(`${what} names no base model`, `write base+${adapter.ref}`);
  }
  if (adapter.ref.startsWith("hf:")) {
    if (/^[\w.-]+\/[\w.-]+$/.test(name) && !name.includes("..")) return `hf:${name}`;
    throw new UserError(
      `${what} names ${show(name)} as its base, which is not a model of the Hub`,
      `write base+${adapter.ref}`,
    );
  }
  const folder = adapter.kind === "folder" ? adapter.ref : path.dirname(adapter.ref);
  for (const found of [name, path.join(folder, name)]) if (fs.existsSync(found)) return found;
  throw new UserError(
    `${what} names ${show(name)} as its base, which is not on this machine`,
    `write base+${adapter.ref}, where base is a folder or hf:${show(name)}`,
  );
}
