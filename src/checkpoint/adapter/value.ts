/**
 * An adapter as a value of its own, without its base: which modules it changes, by which product of two matrices, and
 * what else it holds. Only names and shapes are read here; factors when asked for.
 */
import { UserError } from "../../errors.ts";
import { type JsonObject, show } from "../../json.ts";
import type { Checkpoint, TensorEntry } from "../checkpoint.ts";
import { decodeFloats } from "../decode.ts";
import { isFloat } from "../dtype.ts";
import { isStream } from "../stream/stream.ts";
import { isAdapter } from "./adapter.ts";
import { type AdapterConfig, parseObject, readAdapterConfig, scaleOf } from "./config.ts";
import { refuseForeign } from "./foreign.ts";
import { type AdapterPart, classify, type Factor } from "./keys.ts";

/** A module's change: scale B A, a (rank, into), b (out, rank). */
export interface LowRankModule {
  readonly module: string;
  /** An embedding's weight is (into, out); its change is the product turned. */
  readonly kind: "linear" | "embedding";
  readonly rank: number;
  readonly scale: number;
  /** Sides of A after the rank: of a convolution the inputs and its window. */
  readonly inputs: readonly number[];
  readonly into: number;
  readonly out: number;
  /** Throws UserError for NaN and infinity. */
  read(): Promise<{ readonly a: Float32Array; readonly b: Float32Array }>;
}

export interface AdapterValue {
  readonly checkpoint: Checkpoint;
  readonly config: AdapterConfig;
  /** adapter_config.json as it was read. */
  readonly json: JsonObject;
  /** By name in the base, in the order of the file. */
  readonly modules: ReadonlyMap<string, LowRankModule>;
  /** Saved modules, vocabularies and biases, by name in the base. */
  readonly whole: ReadonlyMap<string, TensorEntry>;
  /** Of DoRA, by module: the lengths (out) that rows of W + scale B A are brought to. */
  readonly magnitudes: ReadonlyMap<string, TensorEntry>;
}

/** What a reader can deal with beside sums of low-rank changes and whole tensors. */
export interface Accepted {
  readonly dora?: boolean;
}

const MERGE_FIRST = (what: string): string =>
  `apply it to its base (merge base+${what}), then extract an adapter again`;

const product = (sizes: readonly number[]): number => sizes.reduce((all, size) => all * size, 1);
const text = (shape: readonly number[]): string => `(${shape.join(", ")})`;

/**
 * Reads what an opened adapter changes. Throws UserError for what is no adapter, for another kind than LoRA, and for
 * what is more than a sum of low-rank changes and whole tensors: DoRA unless it is accepted, biases of lora_B, token
 * rows, stacked experts.
 */
export function readAdapter(checkpoint: Checkpoint, { dora = false }: Accepted = {}): AdapterValue {
  const { ref } = checkpoint;
  if (!isAdapter(checkpoint))
    throw new UserError(
      `${ref} is not an adapter`,
      "expected a folder with adapter_config.json and adapter_model.safetensors",
    );
  refuseForeign(checkpoint);
  const bytes = checkpoint.files.get("adapter_config.json");
  const config = readAdapterConfig(bytes, ref);
  const json = parseObject(bytes!, `${ref}: adapter_config.json`);
  if (config.dora && !dora)
    throw new UserError(`${ref} is DoRA: its change depends on the base's weights`, MERGE_FIRST(ref));
  if (config.targetParameters.length > 0)
    throw new UserError(
      `${ref} adapts stacked parameters (target_parameters), which is not done here`,
      MERGE_FIRST(ref),
    );
  const found = new Map<string, Partial<Record<Factor, TensorEntry>>>();
  const whole = new Map<string, TensorEntry>();
  for (const entry of checkpoint.tensors.values()) {
    const part = classify(entry.name, config, ref);
    if (!isFloat(entry.dtype)) throw new UserError(`${ref}: ${show(entry.name)} is ${entry.dtype}, expected floats`);
    if (part.kind === "replace") whole.set(part.tensor, once(whole.has(part.tensor), entry, ref));
    else if (part.kind === "factor") addFactor(found, part, entry, config.dora, ref);
    else
      throw new UserError(
        `${ref} has trained token rows for ${part.module}, which are not read here`,
        MERGE_FIRST(ref),
      );
    if (isStream(checkpoint)) checkpoint.retain(entry.name);
  }
  const modules = new Map([...found].map(([module, factors]) => [module, moduleOf(module, factors, config, ref)]));
  if (modules.size === 0 && whole.size === 0) throw new UserError(`${ref} has no tensors`, "the adapter is empty");
  const magnitudes = config.dora ? magnitudesOf(modules, found, ref) : new Map<string, TensorEntry>();
  return { checkpoint, config, json, modules, whole, magnitudes };
}

/** The lengths of every module. Throws UserError for one without, and for other modules than linear layers. */
function magnitudesOf(
  modules: ReadonlyMap<string, LowRankModule>,
  found: ReadonlyMap<string, Partial<Record<Factor, TensorEntry>>>,
  ref: string,
): Map<string, TensorEntry> {
  return new Map(
    [...modules].map(([module, { kind, inputs, out }]) => {
      const magnitude = found.get(module)!.magnitude;
      if (kind !== "linear" || inputs.length > 1)
        throw new UserError(`${ref} is DoRA, and ${module} is no linear layer`, MERGE_FIRST(ref));
      if (magnitude === undefined || product(magnitude.shape) !== out)
        throw new UserError(
          magnitude === undefined
            ? `${module} in ${ref} has no lora_magnitude_vector, but use_dora is set`
            : `${show(magnitude.name)} in ${ref} is ${text(magnitude.shape)}, expected ${out} lengths`,
          "the adapter file is damaged",
        );
      return [module, magnitude] as const;
    }),
  );
}

function once(there: boolean, entry: TensorEntry, ref: string): TensorEntry {
  if (there) throw new UserError(`${ref} has two tensors for ${show(entry.name)}`, "the file is damaged");
  return entry;
}

function addFactor(
  found: Map<string, Partial<Record<Factor, TensorEntry>>>,
  { module, part }: Extract<AdapterPart, { kind: "factor" }>,
  entry: TensorEntry,
  dora: boolean,
  ref: string,
): void {
  if (part === "magnitude" && !dora) throw new UserError(`${ref} is DoRA: ${show(entry.name)}`, MERGE_FIRST(ref));
  if (part === "bBias")
    throw new UserError(`${ref} has a bias of lora_B for ${module}, which is not read here`, MERGE_FIRST(ref));
  const factors = found.get(module) ?? {};
  factors[part] = once(factors[part] !== undefined, entry, ref);
  found.set(module, factors);
}

function moduleOf(
  module: string,
  factors: Partial<Record<Factor, TensorEntry>>,
  config: AdapterConfig,
  ref: string,
): LowRankModule {
  const kind = factors.embeddingA || factors.embeddingB ? "embedding" : "linear";
  const [a, b] = kind === "embedding" ? [factors.embeddingA, factors.embeddingB] : [factors.a, factors.b];
  if (a === undefined || b === undefined || (kind === "embedding" && (factors.a || factors.b)))
    throw new UserError(`${module} in ${ref} does not have exactly one A and one B`, "the adapter file is incomplete");
  const [rank = 0, ...inputs] = a.shape;
  const [out = 0, ...inner] = b.shape;
  const into = product(inputs);
  if (rank < 1 || out < 1 || into < 1 || inputs.length === 0 || product(inner) !== rank)
    throw new UserError(
      `A ${text(a.shape)} and B ${text(b.shape)} of ${module} in ${ref} do not go together`,
      "the adapter file is damaged",
    );
  return {
    ...{ module, kind, rank, inputs, into, out, scale: scaleOf(config, module, rank) },
    read: async () => ({ a: await finite(a, ref), b: await finite(b, ref) }),
  };
}

async function finite(entry: TensorEntry, ref: string): Promise<Float32Array> {
  const bytes = new Uint8Array(entry.bytes);
  await entry.read(bytes, 0);
  const values = decodeFloats(bytes, entry.dtype);
  if (!values.every(Number.isFinite))
    throw new UserError(`${ref}: ${show(entry.name)} holds NaN or infinity`, "the adapter's training went wrong");
  return values;
}
