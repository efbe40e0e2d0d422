/**
 * Brings a checkpoint's tensors into parameters, by name, one at a time and in the checkpoint's order (streams allow
 * no other).
 */
import { patchedValues } from "../checkpoint/adapter/adapter.ts";
import { patchRange } from "../checkpoint/adapter/patch.ts";
import { type Checkpoint, isStackPatch, type TensorEntry } from "../checkpoint/checkpoint.ts";
import { decodeFloats, encodeFloats } from "../checkpoint/decode.ts";
import { DTYPE_BYTES, type Dtype, isFloat } from "../checkpoint/dtype.ts";
import { isStream } from "../checkpoint/stream/stream.ts";
import { UserError } from "../errors.ts";
import type { Gpu } from "../gpu/gpu.ts";
import type { Offload } from "../tensor/offload.ts";
import { type CodesForm, packingOf } from "../tensor/packed.ts";
import type { PageStore } from "../tensor/paging/pages.ts";
import { Parameter } from "../tensor/parameter.ts";
import { showShape, sizeOf } from "../tensor/tensor.ts";
import type { Architecture, ParameterSpec } from "./architecture.ts";
import { expectBuffers } from "./expect-buffers.ts";
import { codesForm, type LoadIn, loadCodes, mayBeCodes } from "./held-codes.ts";
import { isFitState, layerOf } from "./names.ts";

/** A tensor of a saved checkpoint: a parameter, or a part of a stack. */
export interface StoredTensor {
  readonly name: string;
  readonly shape: readonly number[];
  /** As the checkpoint stores it. */
  readonly dtype: Dtype;
  readonly parameter: Parameter;
  /** First value in the parameter. */
  readonly start: number;
}

/** How a weight is held on the GPU. */
export type Holding = (name: string) => { readonly trainable: boolean; readonly dtype: "f32" | "bf16" | "keep" };

const PIECE_BYTES = 16 * 2 ** 20;

export interface LoadOptions {
  /** Where the weights of layers go that come from the disk while a program runs. */
  readonly offload?: Offload | undefined;
  /** Frozen matrices of layers stay codes. */
  readonly loadIn?: LoadIn | undefined;
  /** Where experts are that do not fit. */
  readonly store?: PageStore | undefined;
  readonly warn?: (message: string) => void;
}

export interface Loaded {
  readonly parameters: ReadonlyMap<string, Parameter>;
  readonly stored: readonly StoredTensor[];
  /** Of a text part: tensors of the other parts, which are not read. */
  readonly others: readonly TensorEntry[];
}

/** The checkpoint's tensors that a specification asks for: one, or one per part of a stack. */
const namesOf = ({ name, parts }: ParameterSpec): readonly string[] => parts ?? [name];

/** Shape of one of them. */
const partShape = ({ shape, parts }: ParameterSpec): readonly number[] => (parts ? shape.slice(1) : shape);

/**
 * Vectors are always f32: they are small, and kernels read them as they are. So is what an adapter changes, unless
 * asked otherwise: rounded to bf16 a small change would be lost.
 */
export function heldDtype(
  spec: ParameterSpec,
  wanted: "f32" | "bf16" | "keep",
  { dtype, patch }: Pick<TensorEntry, "dtype" | "patch">,
): "f32" | "bf16" {
  if (partShape(spec).length < 2 || spec.small) return "f32";
  return wanted === "keep" ? (dtype === "BF16" && !patch ? "bf16" : "f32") : wanted;
}

/** Loads every parameter. Throws UserError for a tensor that is missing, of another shape or not of floats. */
export async function loadParameters(
  gpu: Gpu,
  checkpoint: Checkpoint,
  architecture: Architecture,
  specs: readonly ParameterSpec[],
  holding: Holding,
  { offload, loadIn, store, warn = () => {} }: LoadOptions = {},
): Promise<Loaded> {
  const { ref, tensors } = checkpoint;
  const rename = renaming(checkpoint, architecture, specs);
  const wanted = new Map<string, { spec: ParameterSpec; part: number }>();
  for (const spec of specs)
    for (const [part, name] of namesOf(spec).entries()) wanted.set(rename(name), { spec, part });

  const missing = [...wanted.keys()].filter((name) => !tensors.has(name));
  if (missing.length > 0) {
    const others = missing.length > 1 ? `, nor ${otherCount(missing.length - 1)} that its config.json asks for` : "";
    const lacking = missing.map((name) => wanted.get(name)!.spec);
    const headless = lacking.some(({ whole }) => whole) && lacking.every(({ whole, pooler }) => whole || pooler);
    throw new UserError(
      `${ref} has no tensor ${missing[0]}${others}`,
      headless ? "a pretrained encoder has no head; train gives it one" : "does config.json belong to these weights?",
    );
  }
  for (const [name, { spec }] of wanted) {
    const { shape, dtype } = tensors.get(name)!;
    if (shape.join() !== partShape(spec).join())
      throw new UserError(
        `${ref}: ${name} is ${showShape(shape)}; its config.json asks for ${showShape(partShape(spec))}`,
        "does config.json belong to these weights?",
      );
    if (!isFloat(dtype))
      throw new UserError(`${ref}: ${name} is ${dtype}, expected floats`, "quantized weights cannot be run");
  }
  const others = othersOf(checkpoint, architecture, wanted, warn);
  if (isStream(checkpoint)) for (const { name } of others) checkpoint.retain(name);

  const forms = new Map<string, CodesForm>();
  const held = specs.map((spec) => {
    const { name, shape } = spec;
    const { trainable, dtype: asked } = holding(name);
    const entries = namesOf(spec).map((part) => tensors.get(rename(part))!);
    const parts = expertsOf(spec);
    const isCodes = !trainable && !(store && parts > 1) && mayBeCodes(spec, architecture.headModules);
    const form = isCodes && loadIn ? codesForm(entries, loadIn, offload !== undefined) : undefined;
    if (form) forms.set(name, form);
    const dtype = form ? packingOf(form) : heldDtype(spec, asked, entries[0]!);
    return { name, shape, dtype, trainable: trainable && !spec.buffer, parts };
  });
  if (loadIn === "stored") expectCodes(checkpoint, specs, architecture, forms);
  expectBuffers(gpu, held, store !== undefined);
  if ((offload || store) && isStream(checkpoint))
    throw new UserError(
      `${ref} comes through a pipe, and ${offload ? "--offload" : "--expert-store stream"} reads its layers again for every batch`,
      "write it to a file first",
    );
  const readers = new Map(specs.map((spec) => [spec.name, pageReader(spec, (name) => tensors.get(rename(name))!)]));
  const parameters = new Map(
    held.map(({ name, shape, dtype, trainable, parts }) => {
      const layer = layerOf(name);
      const kind = layer ? `${layer.prefix}.${layer.rest}` : name;
      const plain = typeof dtype === "string" ? dtype : undefined;
      const read = plain && ((page: number) => readers.get(name)!(page, plain));
      const paged = store && parts > 1 && plain ? { store, kind, ...(gpu.dry ? {} : { read }) } : undefined;
      const lent = paged ?? (offload && layer ? { to: offload, kind } : undefined);
      const parameter = new Parameter(gpu, name, shape, dtype, trainable, lent);
      parameter.parts = parts;
      return [name, parameter];
    }),
  );
  const stored: StoredTensor[] = [];
  for (const entry of tensors.values()) {
    const found = wanted.get(entry.name);
    if (!found) continue;
    const { spec, part } = found;
    const parameter = parameters.get(spec.name)!;
    const start = part * sizeOf(partShape(spec));
    stored.push({ name: entry.name, shape: entry.shape, dtype: entry.dtype, parameter, start });
    const form = forms.get(spec.name);
    if (parameter.pages) continue; // its pages read it
    const read = () =>
      form ? loadCodes(gpu, entry, { parameter, start, form }) : loadEntry(gpu, entry, parameter, start);
    if (parameter.offloaded) parameter.offloaded.add(read);
    else await read();
  }
  return { parameters, stored, others };
}

/** Throws UserError where no weight is stored as codes; says which are not. */
function expectCodes(
  { ref }: Checkpoint,
  specs: readonly ParameterSpec[],
  { headModules }: Architecture,
  forms: ReadonlyMap<string, unknown>,
): void {
  if (forms.size > 0 || !specs.some((spec) => mayBeCodes(spec, headModules))) return;
  throw new UserError(
    `${ref} holds no weights of layers as codes, which --load-in stored would leave as they are`,
    "4bit and 8bit round them while they are loaded",
  );
}

/** `36 tensors of model.vision_tower, model.multi_modal_projector` */
export function carriedText(entries: readonly TensorEntry[]): string {
  const modules = entries.map(({ name }) => /^(?:model\.)?[^.]+/.exec(name)![0]);
  return `${entries.length} tensors of ${[...new Set(modules)].join(", ")}`;
}

/** The tensors of other parts. Says what becomes of them, or what is left out of a model of one part. */
function othersOf(
  { ref, tensors }: Checkpoint,
  { name: type, ignored, partOf }: Architecture,
  wanted: ReadonlyMap<string, unknown>,
  warn: (message: string) => void,
): readonly TensorEntry[] {
  const beside = [...tensors.values()].filter(({ name }) => !wanted.has(name) && !isFitState(name));
  const leftOut = ([first, ...more]: readonly TensorEntry[], verb: string, what: string) =>
    more.length > 0
      ? `${first!.name} and ${otherCount(more.length)} ${verb} ${what}, and are left out`
      : `${first!.name} ${verb}s ${what}, and is left out`;
  const known = beside.filter(({ name }) => ignored?.test(name) && !/(^|\.)(lm_head|embed_out)\.weight$/.test(name));
  if (known.length > 0) warn(`${ref}: ${leftOut(known, "hold", `no weight that ${type} needs`)}`);
  const others = beside.filter(({ name }) => !ignored?.test(name));
  if (others.length === 0) return [];
  if (partOf === undefined) {
    warn(`${ref}: ${leftOut(others, "belong", `to nothing that ${type} computes`)}`);
    return [];
  }
  const count = others.reduce((sum, { shape }) => sum + sizeOf(shape), 0).toLocaleString("en-US");
  warn(
    `${ref} is a ${partOf.whole}, of which the ${partOf.part}${type === partOf.whole ? "" : ` (${type})`} runs; ${carriedText(others)} (${count} parameters) are carried through as they are`,
  );
  return others;
}

const otherCount = (count: number): string => (count === 1 ? "1 other" : `${count} others`);

/**
 * Some checkpoints hold the bare base model, without the prefix of the whole (`h.0...` for `transformer.h.0...`), and
 * some have older names.
 */
function renaming(
  { tensors }: Checkpoint,
  { basePrefix, olderNames }: Architecture,
  specs: readonly ParameterSpec[],
): (name: string) => string {
  const older = (name: string) => {
    if (tensors.has(name)) return name;
    return olderNames?.(name).find((other) => tensors.has(other)) ?? name;
  };
  if (basePrefix === undefined) return older;
  const prefixed = specs.flatMap(namesOf).filter((name) => name.startsWith(basePrefix));
  const bare = prefixed.length > 0 && !prefixed.some((name) => tensors.has(older(name)));
  return bare ? (name) => older(name.startsWith(basePrefix) ? name.slice(basePrefix.length) : name) : older;
}

/** Writes a tensor into a parameter from value `start` on, a piece at a time; nothing in a dry run. */
export async function loadEntry(gpu: Gpu, entry: TensorEntry, parameter: Parameter, start: number): Promise<void> {
  if (gpu.dry) return;
  const width = parameter.dtype === "bf16" ? 2 : 4;
  for await (const { at, bytes } of heldPieces(entry, parameter.dtype))
    gpu.write(parameter.buffer, (start + at) * width, bytes);
}

/** Values `first` to `first + count` of a tensor, all when left out, as they are held: a piece at a time. */
async function* heldPieces(
  entry: TensorEntry,
  held: "f32" | "bf16",
  first = 0,
  count = sizeOf(entry.shape) - first,
): AsyncGenerator<{ readonly at: number; readonly bytes: Uint8Array }> {
  const dtype = held === "bf16" ? "BF16" : "F32";
  if (entry.patch && !isStackPatch(entry.patch)) {
    const values = (await patchedValues(entry)).subarray(first, first + count);
    return yield { at: 0, bytes: encodeFloats(values, dtype) };
  }
  const width = DTYPE_BYTES[entry.dtype];
  const step = PIECE_BYTES / width;
  for (let at = 0; at < count; at += step) {
    const bytes = new Uint8Array(Math.min(step, count - at) * width);
    await entry.read(bytes, (first + at) * width);
    if (entry.dtype === "BF16" && held === "bf16" && !entry.patch) {
      yield { at, bytes };
      continue;
    }
    const values = decodeFloats(bytes, entry.dtype);
    if (entry.patch) patchRange(entry, values, first + at);
    yield { at, bytes: encodeFloats(values, dtype) };
  }
}

/** Reads one expert's matrix as it is held: a tensor of its own, or a part of one for all experts. */
const pageReader =
  (spec: ParameterSpec, entryOf: (name: string) => TensorEntry) =>
  async (page: number, held: "f32" | "bf16"): Promise<Uint8Array> => {
    const count = sizeOf(spec.shape.slice(1));
    const out = new Uint8Array(count * (held === "bf16" ? 2 : 4));
    const entry = entryOf(spec.parts?.[page] ?? spec.name);
    for await (const { at, bytes } of heldPieces(entry, held, spec.parts ? 0 : page * count, count))
      out.set(bytes, at * (held === "bf16" ? 2 : 4));
    return out;
  };

/** How many matrices of experts a weight holds; 1 where it is none of such. */
export const expertsOf = ({ parts, stack, shape, small }: ParameterSpec): number =>
  (parts || stack) && shape.length > 2 && !small ? shape[0]! : 1;
