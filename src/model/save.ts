/** Writes a model, or its adapter alone, as a checkpoint: the tensors of the one it came from, under their names. */
import fs from "node:fs";
import { patchedValues } from "../checkpoint/adapter/adapter.ts";
import type { LineageEntry, TensorEntry, TensorInfo } from "../checkpoint/checkpoint.ts";
import { decodeFloats, encodeFloats } from "../checkpoint/decode.ts";
import { DTYPE_BYTES, type Dtype } from "../checkpoint/dtype.ts";
import type { GgufOptions } from "../checkpoint/gguf/write/gguf-file.ts";
import type { OutputPlan, ShardOptions } from "../checkpoint/write/shards.ts";
import { ClosedPipe } from "../checkpoint/write/sink.ts";
import { createWriter, isPipe, writtenBytes } from "../checkpoint/write/write.ts";
import type { WriteOptions, Writer } from "../checkpoint/write/writer.ts";
import { UserError } from "../errors.ts";
import type { Parameter } from "../tensor/parameter.ts";
import { sizeOf } from "../tensor/tensor.ts";
import type { AdapterTensor, LiveAdapter } from "./adapters/live-adapter.ts";
import { turn } from "./adapters/lora/factor-files.ts";
import { joinedValues } from "./adapters/lora/taken-out.ts";
import { type GgufAdapter, ggufAdapter } from "./gguf-adapter.ts";
import type { Model } from "./model.ts";

export interface SaveOptions extends ShardOptions, GgufOptions {
  /** config.json, tokenizer.json and so on. An adapter takes only its own. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly lineage: readonly LineageEntry[];
  /**
   * dtype of the matrices in the file; as they were stored when left out. "held": as on the GPU, which loses nothing.
   */
  readonly dtype?: Dtype | "held";
  /** The model under its adapter. */
  readonly base?: boolean;
  readonly flush?: boolean;
  /** Tensors of no model, such as what a head was fitted by, which stand before those of the model. */
  readonly beside?: readonly TensorEntry[] | undefined;
  /** For a target on the Hub. */
  readonly hub?: NonNullable<WriteOptions["hub"]>;
}

/** Options for a second result: types of a GGUF file say nothing of another. */
export function savingTo(target: string, options: SaveOptions): SaveOptions {
  const { ggufType: _, ggufImatrix: __, ...plain } = options;
  return target.endsWith(".gguf") ? options : plain;
}

/** A tensor of the file: a part of a parameter, or what is carried through. */
type Saved = { readonly info: TensorInfo } & (
  | ({ readonly parameter: Parameter; readonly start: number } & Pick<AdapterTensor, "turned" | "joined">)
  | { readonly entry: TensorEntry }
);

const PIECE = 4 * 2 ** 20; // values

/** What is written of an adapter: all of it for a training to go on from, else what a result is. */
const savedAdapter = (adapter: LiveAdapter, dtype: SaveOptions["dtype"]): Pick<LiveAdapter, "config" | "stored"> =>
  dtype === "held" ? adapter : (adapter.exported ?? adapter);

function savedTensors(model: Model, options: Pick<SaveOptions, "dtype" | "base" | "beside">): Saved[] {
  const beside = (options.beside ?? []).map((entry): Saved => savedEntry(entry));
  return [...beside, ...modelTensors(model, options)];
}

function savedEntry(entry: TensorEntry): Saved {
  const { name, dtype, shape, bytes } = entry;
  return { info: { name, dtype, shape, bytes }, entry };
}

function modelTensors(model: Model, { dtype, base }: Pick<SaveOptions, "dtype" | "base">): Saved[] {
  const saved = (name: string, shape: readonly number[], stored: Dtype, parameter: Parameter, start: number): Saved => {
    const as = dtype === "held" ? (parameter.dtype === "bf16" ? "BF16" : "F32") : (dtype ?? stored);
    return { info: { name, dtype: as, shape, bytes: sizeOf(shape) * DTYPE_BYTES[as] }, parameter, start };
  };
  if (model.adapter && !base)
    return savedAdapter(model.adapter, dtype)
      .stored()
      .map(({ name, shape, parameter, start, turned, joined }) => ({
        ...saved(name, shape, "F32", parameter, start),
        ...(turned ? { turned } : {}),
        ...(joined ? { joined } : {}),
      }));
  const own = model.stored.map(({ name, shape, dtype: stored, parameter, start }) =>
    saved(name, shape, stored, parameter, start),
  );
  const { entries, order } = model.carried;
  if (entries.length === 0) return own;
  const carried = entries.map(savedEntry);
  const places = new Map(order.map((name, i) => [name, i]));
  return [...own, ...carried].sort((a, b) => places.get(a.info.name)! - places.get(b.info.name)!);
}

/** What will be written, before any work: names, dtypes, shapes. */
export const savedInfos = (model: Model, dtype?: SaveOptions["dtype"]): TensorInfo[] =>
  savedTensors(model, { dtype }).map(({ info }) => info);

/** Whether an adapter goes into a GGUF file, which has a form of its own for it. */
const isGgufAdapter = ({ adapter }: Model, target: string): boolean =>
  adapter !== undefined && target.endsWith(".gguf");

/** What the file of an adapter holds. Throws UserError for options of models. */
async function planGgufAdapter(model: Model, options: SaveOptions, folds: boolean): Promise<GgufAdapter> {
  const { lineage, ggufType, ggufImatrix, warn = () => {} } = options;
  if (ggufType !== undefined || ggufImatrix !== undefined) {
    throw new UserError(
      `--${ggufType === undefined ? "gguf-imatrix" : "gguf-type"} has no effect on an adapter, whose matrices are f32`,
      "leave it out, or merge the adapter into its base first",
    );
  }
  return ggufAdapter(model, lineage, { folds, warn });
}

/** The file and what fills it. Throws UserError as `planGgufAdapter` does. */
async function openGgufAdapter(model: Model, target: string, options: SaveOptions, folds: boolean) {
  const { flush } = options;
  const { plan, parts } = await planGgufAdapter(model, options, folds);
  return { writer: await createWriter(target, plan, flush === undefined ? {} : { flush }), parts };
}

async function open(model: Model, target: string, options: SaveOptions): Promise<Writer> {
  if (isGgufAdapter(model, target)) return (await openGgufAdapter(model, target, options, false)).writer;
  const { files: _, lineage: __, dtype: ___, base: ____, beside: _____, flush, ...shards } = options;
  return createWriter(target, planOf(model, options), { ...shards, ...(flush === undefined ? {} : { flush }) });
}

/** What a checkpoint of the model, or of its adapter, holds. */
function planOf(model: Model, { files, lineage, dtype, base, beside }: SaveOptions): OutputPlan {
  const own = model.adapter && !base ? savedAdapter(model.adapter, dtype).config : undefined;
  const carried = own === undefined ? files : new Map([["adapter_config.json", new TextEncoder().encode(own)]]);
  return { tensors: savedTensors(model, { dtype, base, beside }).map(({ info }) => info), files: carried, lineage };
}

/** For a dry run: throws UserError where the form of the target cannot hold the result. Nothing is written. */
export async function checkSave(model: Model, target: string, options: SaveOptions): Promise<void> {
  if (isGgufAdapter(model, target)) await planGgufAdapter(model, options, false);
  else writtenBytes(target, planOf(model, options), options);
}

/**
 * Before long work: tries whether the target can be written. For a stream the header goes out and the writer is
 * given, so that the next command can check what comes; a file or folder is left as it was.
 */
export async function prepareSave(model: Model, target: string, options: SaveOptions): Promise<Writer | undefined> {
  try {
    const writer = await open(model, target, options);
    if (isPipe(target)) return writer;
    await writer.abort();
    return undefined;
  } catch (error) {
    if (!(error instanceof ClosedPipe)) throw error;
    throw new UserError("the reader of stdout went away before the work began", "the command after the pipe failed", 1);
  }
}

/**
 * Writes to "-", a file or a folder (see checkpoint/write.ts), or on with a writer. Host memory: a piece of 16 MiB, or
 * a tensor that an adapter holds turned or in two parts. Gives the bytes written.
 */
export async function saveModel(model: Model, target: string | Writer, options: SaveOptions): Promise<number> {
  if (typeof target === "string" && isGgufAdapter(model, target)) return saveGgufAdapter(model, target, options);
  // What there is to say of the file was said before the work, when it was prepared.
  const writer = typeof target === "string" ? await open(model, target, { ...options, warn: () => {} }) : target;
  try {
    for (const saved of savedTensors(model, options)) {
      const pieces = "entry" in saved ? carriedPieces(saved.entry) : parameterPieces(model, saved);
      for await (const piece of pieces) await writer.write(saved.info.name, piece);
    }
    await writer.finish();
  } catch (error) {
    await writer.abort();
    throw error;
  }
  return writer.bytes;
}

async function saveGgufAdapter(model: Model, target: string, options: SaveOptions): Promise<number> {
  const { writer, parts } = await openGgufAdapter(model, target, options, true);
  try {
    for (const { info, values } of parts) await writer.write(info.name, encodeFloats(await values(), "F32"));
    await writer.finish();
  } catch (error) {
    await writer.abort();
    throw error;
  }
  return writer.bytes;
}

type OwnTensor = Extract<Saved, { parameter: Parameter }>;

/** The bytes of a tensor of the model, a piece at a time; one that is held turned, or in two parts, at once. */
async function* parameterPieces(
  model: Model,
  { info, parameter, start, turned, joined }: OwnTensor,
): AsyncGenerator<Uint8Array> {
  const count = sizeOf(info.shape);
  if (joined) return yield encodeFloats(await joinedValues(model.gpu, parameter, joined), info.dtype);
  if (turned) {
    const held = decodeFloats(await readPart(model, parameter, start, count, "F32"), "F32");
    return yield encodeFloats(turn(held, turned), info.dtype);
  }
  for (let at = 0; at < count; at += PIECE)
    yield await readPart(model, parameter, start + at, Math.min(PIECE, count - at), info.dtype);
}

/** The bytes of a tensor that is carried through, a piece at a time; one that an adapter changes at once. */
async function* carriedPieces(entry: TensorEntry): AsyncGenerator<Uint8Array> {
  if (entry.patch) return yield encodeFloats(await patchedValues(entry), entry.dtype);
  for (let at = 0; at < entry.bytes; at += PIECE) {
    const piece = new Uint8Array(Math.min(PIECE, entry.bytes - at));
    await entry.read(piece, at);
    yield piece;
  }
}

/** Values of a parameter as bytes of a dtype. */
async function readPart(
  model: Model,
  parameter: Parameter,
  start: number,
  count: number,
  dtype: Dtype,
): Promise<Uint8Array> {
  const width = parameter.dtype === "bf16" ? 2 : 4;
  const first = Math.floor((start * width) / 4) * 4; // read-backs begin at whole words
  const skip = start * width - first;
  const { pages } = parameter;
  const bytes = pages
    ? await pages.read(start * width, count * width)
    : await model.gpu.read(parameter.buffer, first, skip + count * width, (view) =>
        view.slice(skip, skip + count * width),
      );
  const held = parameter.dtype === "bf16" ? "BF16" : "F32";
  return held === dtype ? bytes : encodeFloats(decodeFloats(bytes, held), dtype);
}

/**
 * `saveModel` after long work: a reader that went away costs the pipe, and a value that a GGUF file cannot hold costs
 * the file, not the result, which goes to `ingot-rescue-RUN.safetensors`.
 */
export async function saveResult(
  model: Model,
  target: string | Writer,
  options: SaveOptions,
  run: string,
): Promise<number> {
  try {
    return await saveModel(model, target, options);
  } catch (error) {
    const unfit = error instanceof UserError && typeof target === "string" && target.endsWith(".gguf");
    if (!(error instanceof ClosedPipe) && !unfit) throw error;
    const rescue = `ingot-rescue-${run}.safetensors`;
    await saveModel(model, rescue, savingTo(rescue, options));
    const cause = unfit ? error.message : "the reader of stdout went away";
    throw new UserError(cause, `the result is in ${fs.realpathSync(rescue)}`, 1);
  }
}
