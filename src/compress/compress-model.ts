/**
 * Changes the matrices of a model, block by block, and hands out all tensors of the result in order. With rows every
 * block is measured behind those that are changed already.
 *
 * Memory: on the host one block's matrices in f32 and the hidden states of the rows, on the GPU what a block, a batch
 * and one layer's work take, for a model whose layers lie on the disk; else the whole model.
 */
import { patchedValues } from "../checkpoint/adapter/adapter.ts";
import type { Checkpoint, TensorEntry, TensorInfo } from "../checkpoint/checkpoint.ts";
import { decodeFloats, encodeFloats } from "../checkpoint/decode.ts";
import { DTYPE_BYTES, type Dtype, isFloat } from "../checkpoint/dtype.ts";
import { matrixValues, type QuantizedMatrix } from "../checkpoint/quantized/matrix.ts";
import { UserError } from "../errors.ts";
import type { StoredTensor } from "../model/load.ts";
import type { Model } from "../model/model.ts";
import { layerOf } from "../model/names.ts";
import type { BlockInputs, BlockPasses, MatrixInputs } from "../run/calibrating/block-passes.ts";
import { sizeOf } from "../tensor/tensor.ts";
import type { Choices } from "./choices.ts";
import { foldsOf } from "./folds.ts";
import { type Layer, type LayerInputs, type MeasuredLayer, relativeError } from "./layer.ts";
import type { Target } from "./matrices.ts";
import { type Preparing, prepareBlock } from "./prepare-block.ts";
import type { Result, Storage, Stored } from "./storage.ts";
import type { StoredInputs } from "./stored-inputs.ts";

/** What became of one matrix. */
export interface LayerReport {
  readonly name: string;
  /** Of a stack of experts that is one tensor. */
  readonly expert?: number;
  readonly rows: number;
  readonly columns: number;
  /** E: the share of what the layer gives that is lost, or of its weights without rows. */
  readonly error: number;
  /** Share of the weights that are 0. */
  readonly zeros: number;
  readonly bits?: number;
}

export interface Work {
  readonly model: Model;
  readonly checkpoint: Checkpoint;
  readonly targets: readonly Target[];
  readonly choices: Choices;
  readonly storage: Storage;
  /** dtype of all other float tensors; as stored when left out. */
  readonly dtype: Dtype | undefined;
  readonly passes: BlockPasses | undefined;
  /** What layers read, measured before. */
  readonly stats: StoredInputs | undefined;
  readonly trueSequential: boolean;
  readonly seed: number;
  readonly signal: AbortSignal;
  /** Whether a tensor of the result is to be made here, by its name. */
  isWanted(name: string): boolean;
  /** Shares that go of the matrices of a target, by its name, where a survey of all of them said so. */
  readonly shares?: ReadonlyMap<string, readonly number[]>;
  told(report: LayerReport): void;
  warn(message: string): void;
}

/** A tensor of the result: a target, a weight that stays, or what no block runs. */
type Place =
  | { readonly infos: readonly TensorInfo[]; readonly target: Target }
  | { readonly infos: readonly TensorInfo[]; readonly kept: StoredTensor | TensorEntry };

/** The tensors of the result by block: first those outside of blocks. */
export function placesOf({ model, targets, storage, dtype }: Pick<Work, "model" | "targets" | "storage" | "dtype">) {
  const byName = new Map(targets.map((target) => [target.stored.name, target]));
  const all: readonly (StoredTensor | TensorEntry)[] = [...model.stored, ...model.carried.entries];
  const blocks = new Map<number, Place[]>([[-1, []]]);
  const put = (block: number, place: Place) => blocks.set(block, [...(blocks.get(block) ?? []), place]);
  for (const one of all) {
    const target = byName.get(one.name);
    const layer = "parameter" in one ? layerOf(one.name) : undefined;
    const block = target?.block ?? (layer && layer.index < model.sizes.layers ? layer.index : -1);
    if (target) {
      put(block, { infos: storage.plan(target), target });
      continue;
    }
    const as = dtype !== undefined && isFloat(one.dtype) ? dtype : one.dtype;
    put(block, {
      infos: [{ name: one.name, shape: one.shape, dtype: as, bytes: sizeOf(one.shape) * DTYPE_BYTES[as] }],
      kept: one,
    });
  }
  return new Map([...blocks].sort(([a], [b]) => a - b));
}

/** Values of tensors of a block that were changed before its matrices are, by name. */
type Changed = Map<string, Float32Array>;

/** All tensors of the result, in the order of `placesOf`. Throws UserError for weights that are not finite. */
export async function* compressModel(given: Work): AsyncGenerator<Stored> {
  const work = { ...given, ...(await surveyed(given)) };
  if (preparesOf(work) && !work.model.dense)
    work.warn(`which weights make what layers of ${work.model.architecture.name} read is not known; none is scaled`);
  for (const [block, all] of placesOf(work)) {
    const places = all.filter(({ infos }) => infos.some(({ name }) => work.isWanted(name)));
    if (places.length === 0) continue;
    const changed: Changed = new Map();
    const results = block < 0 ? new Map<Target, Result>() : await compressBlock(work, block, changed);
    for (const place of places) {
      if ("target" in place)
        yield* work.storage.encode(place.target, results.get(place.target)!).filter(({ name }) => work.isWanted(name));
      else yield* keep(work, changed, place.kept, place.infos[0]!);
    }
    if (block >= 0) await work.passes?.advance();
  }
}

/** What a pruner learns of all matrices before the first is changed. */
async function surveyed(work: Work): Promise<Pick<Work, "shares">> {
  const { prune } = work.choices;
  const survey = prune?.by.method.survey?.(prune.target, prune.by.values);
  if (!survey) return {};
  for (let pass = 0; pass < survey.passes; pass++) {
    for (const { stored, rows, columns, parts } of work.targets) {
      work.signal.throwIfAborted();
      const values = decodeFloats(await storedBytes(work, stored), stored.dtype);
      for (let part = 0; part < parts; part++)
        survey.see(values.subarray(part * rows * columns, (part + 1) * rows * columns));
    }
    survey.next();
  }
  const shares = survey.shares();
  return { shares: new Map(work.targets.map(({ stored, parts }) => [stored.name, shares.splice(0, parts)])) };
}

/** A tensor that stays. */
async function* keep(
  work: Work,
  changed: Changed,
  one: StoredTensor | TensorEntry,
  { name, dtype }: TensorInfo,
): AsyncGenerator<Stored> {
  const values = changed.get(one.name);
  const bytes = values ? encodeFloats(values, one.dtype) : await storedBytes(work, one);
  yield { name, bytes: dtype === one.dtype ? bytes : encodeFloats(decodeFloats(bytes, one.dtype), dtype) };
}

/** A tensor as the checkpoint stores it, with an adapter's change; of a model in memory from there. */
async function storedBytes({ model, checkpoint }: Work, one: StoredTensor | TensorEntry): Promise<Uint8Array> {
  if ("parameter" in one && !one.parameter.offloaded) {
    const { parameter, start, shape, dtype } = one;
    const held = parameter.dtype === "bf16" ? "BF16" : "F32";
    const width = DTYPE_BYTES[held];
    const first = Math.floor((start * width) / 4) * 4;
    const skip = start * width - first;
    const bytes = await model.gpu.read(parameter.buffer, first, skip + sizeOf(shape) * width, (view) =>
      view.slice(skip),
    );
    return held === dtype ? bytes : encodeFloats(decodeFloats(bytes, held), dtype);
  }
  const entry = "parameter" in one ? checkpoint.tensors.get(one.name)! : one;
  if (entry.patch) return encodeFloats(await patchedValues(entry), entry.dtype);
  const bytes = new Uint8Array(entry.bytes);
  await entry.read(bytes, 0);
  return bytes;
}

/** The targets of a block, a stage at a time: all at once, or those that read the same one after the other. */
async function compressBlock(work: Work, block: number, changed: Changed): Promise<Map<Target, Result>> {
  const targets = work.targets.filter((target) => target.block === block);
  await prepare(work, block, targets, changed);
  const results = new Map<Target, Result>();
  let left = targets;
  while (left.length > 0) {
    using inputs = await work.passes?.measure((module) => left.some((target) => isOf(target, module)));
    const stage = inputs && work.trueSequential ? left.filter((target) => inputs.isFirst(modulesOf(target))) : left;
    for (const target of stage) {
      work.signal.throwIfAborted();
      results.set(target, await compressTarget(work, target, inputs, changed));
    }
    left = left.filter((target) => !stage.includes(target));
  }
  return results;
}

/** The quantizer that scales inputs; undefined where none does. */
function preparesOf({ choices: { quantize } }: Work): Choices["quantize"] {
  return quantize?.by.method.needs === "inputs" && quantize.by.method.prepare ? quantize : undefined;
}

/** Scales the inputs of a block's layers, where the quantizer does so. */
async function prepare(work: Work, block: number, targets: readonly Target[], changed: Changed): Promise<void> {
  const { model, passes, seed, signal } = work;
  const quantize = preparesOf(work);
  if (!quantize || !passes || !model.dense) return;
  using inputs = await passes.measure((module) => targets.some((target) => isOf(target, module)));
  const preparing: Preparing = {
    ...{ model, by: quantize.by, seed, signal },
    scheme: (name, columns) => ({ ...quantize.scheme(name, columns), scales: work.storage.scales }),
    inputs: (target) => inputs.of(modulesOf(target), target.firstPart),
    read: async (stored) => changed.get(stored.name) ?? decodeFloats(await storedBytes(work, stored), stored.dtype),
    change(stored, values) {
      changed.set(stored.name, values);
      putBack(model, stored, values);
    },
  };
  await prepareBlock(preparing, foldsOf(model.dense, block), targets);
}

/** The names by which a model may ask for a target. */
const modulesOf = ({ stored: { parameter } }: Target): [string, string] => [
  parameter.name,
  parameter.name.replace(/\.weight$/, ""),
];

const isOf = (target: Target, module: string): boolean => modulesOf(target).includes(module);

/** Turns a matrix: (rows, columns) -> (columns, rows). */
function turned(values: Float32Array, rows: number, columns: number): Float32Array {
  const result = new Float32Array(values.length);
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) result[c * rows + r] = values[r * columns + c]!;
  return result;
}

async function compressTarget(
  work: Work,
  target: Target,
  inputs: BlockInputs | undefined,
  changed: Changed,
): Promise<Result> {
  const { stored, rows, columns, parts, inFirst } = target;
  const size = rows * columns;
  const values = changed.get(stored.name) ?? decodeFloats(await storedBytes(work, stored), stored.dtype);
  const codes: QuantizedMatrix[] = [];
  for (let part = 0; part < parts; part++) {
    const own = values.subarray(part * size, (part + 1) * size);
    const matrix = inFirst ? turned(own, columns, rows) : own.slice();
    if (matrix.some((x) => !Number.isFinite(x)))
      throw new UserError(
        `${stored.name} has values that are not finite`,
        "the model is damaged; fetch or train it again",
      );
    const found = await (work.stats?.of(work.model.gpu, target, part) ??
      inputs?.of(modulesOf(target), target.firstPart + part));
    if (found?.magnitudes.every((x) => x === 0)) {
      const which = parts > 1 ? `expert ${part} of ${stored.name}` : stored.name;
      work.warn(`no row of --calibration reaches ${which}; its inputs count alike`);
      putIdentity(work.model, found);
    }
    try {
      const { after, quantized } = await compressMatrix(work, target, part, matrix, found);
      own.set(inFirst ? turned(after, rows, columns) : after);
      if (quantized) codes.push(quantized);
    } finally {
      found?.gram.free();
    }
  }
  if (work.passes) putBack(work.model, stored, values);
  return { values, ...(codes.length > 0 ? { codes } : {}) };
}

/** Inputs that all count alike: H = I. */
function putIdentity({ gpu }: Model, { gram, columns, magnitudes }: MatrixInputs): void {
  const identity = new Float32Array(columns ** 2);
  for (let i = 0; i < columns; i++) identity[i * columns + i] = 1;
  magnitudes.fill(1);
  gpu.write(gram.buffer, 0, new Uint8Array(identity.buffer));
}

/** Puts the values where the next pass reads them. */
function putBack({ gpu }: Model, { parameter, start }: StoredTensor, values: Float32Array): void {
  const dtype = parameter.dtype === "bf16" ? "BF16" : "F32";
  gpu.write(parameter.buffer, start * DTYPE_BYTES[dtype], encodeFloats(values, dtype));
}

async function compressMatrix(
  { model: { gpu }, choices, shares, storage, seed, signal, told }: Work,
  target: Target,
  part: number,
  before: Float32Array,
  found: Awaited<ReturnType<BlockInputs["of"]>>,
) {
  const { stored, rows, columns, parts } = target;
  const { name } = stored;
  using weight = gpu.upload(before, name);
  const inputs: LayerInputs | undefined = found && {
    gram: { buffer: found.gram.buffer, rows: columns, columns },
    magnitudes: found.magnitudes,
  };
  const layer: Layer = { gpu, name, rows, columns, weight, seed, signal, ...(inputs ? { inputs } : {}) };
  const measured = (method: string): MeasuredLayer => {
    if (!inputs)
      throw new UserError(
        `${name} is not read by the rows of --calibration, which ${method} goes by`,
        "leave it out with --ignore",
      );
    return { ...layer, inputs };
  };
  const { prune, quantize } = choices;
  if (prune) {
    const { method, values } = prune.by;
    const share = shares?.get(name)?.[part];
    const wanted = share === undefined ? prune.target : { share };
    if (method.needs === "inputs") await method.prune(measured(method.name), wanted, values);
    else await method.prune(layer, wanted, values);
  }
  let quantized: QuantizedMatrix | undefined;
  if (quantize) {
    const { method, values } = quantize.by;
    const scheme = { ...quantize.scheme(name, columns), scales: storage.scales };
    const codes =
      method.needs === "inputs"
        ? await method.quantize(measured(method.name), scheme, values)
        : await method.quantize(layer, scheme, values);
    quantized = storage.fitted(target, codes);
  }
  const after = quantized ? matrixValues(quantized) : await gpu.readFloats(weight.buffer, rows * columns);
  told({
    ...{ name, rows, columns },
    ...(parts > 1 ? { expert: part } : {}),
    error: await relativeError(layer, before, after),
    zeros: after.reduce((count, x) => count + Number(x === 0), 0) / after.length,
    ...(quantized ? { bits: quantized.bits } : {}),
  });
  return { after, quantized };
}
