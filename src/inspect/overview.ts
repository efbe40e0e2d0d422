/** What a checkpoint is, from its headers and files alone. */
import { join } from "node:path";
import type { Checkpoint, QuantizedPart, TensorInfo } from "../checkpoint/checkpoint.ts";
import { indexText, parseIndex } from "../checkpoint/folder/folder.ts";
import { UserError } from "../errors.ts";
import { decodeText, isObject, parseJson } from "../json.ts";
import { type Config, configValue, isEmbedding, LAYER_KEYS, readConfig } from "../model/names.ts";
import { sizeOf } from "../tensor/tensor.ts";

/** What config.json says; undefined where it does not. */
export interface Architecture {
  readonly architecture?: string;
  readonly model_type?: string;
  readonly layers?: number;
  readonly hidden?: number;
  readonly heads?: number;
  readonly kv_heads?: number;
  readonly vocab?: number;
  readonly tied?: boolean;
}

/** What adapter_config.json says of an adapter that is looked at alone. */
export interface AdapterFacts {
  readonly type?: string;
  readonly rank?: number;
  readonly alpha?: number;
  readonly base?: string;
  readonly targets?: readonly string[];
}

export interface Amount {
  readonly tensors: number;
  readonly parameters: number;
  readonly bytes: number;
}

/** The shard index of a folder. */
export interface IndexFacts {
  readonly name: string;
  readonly shards: number;
  /** `metadata.total_size`, where it is a number. */
  readonly totalSize: number | undefined;
}

export interface Overview {
  readonly ref: string;
  readonly kind: Checkpoint["kind"];
  readonly header_sha256: string;
  readonly revision?: string;
  readonly architecture: Architecture;
  readonly adapter?: AdapterFacts;
  readonly tokenizer: boolean;
  readonly files: readonly string[];
  readonly parameters: { readonly total: number; readonly embeddings: number; readonly rest: number };
  readonly bytes: number;
  /** What the tensors were stored as, where they are decoded while they are read. */
  readonly quantized?: readonly QuantizedPart[];
  /** Why they cannot be decoded, where they are shown as they are stored. */
  readonly undecoded?: string;
  /** Most bytes first. */
  readonly dtypes: Readonly<Record<string, Amount>>;
  readonly shards?: number;
}

const numberOf = (config: Config | undefined, ...keys: string[]): number | undefined => {
  const value = configValue(config, ...keys);
  return typeof value === "number" ? value : undefined;
};

const textOf = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined);

/** Leaves out what is undefined, so that JSON and printing skip it alike. */
const known = <T extends object>(object: T): T =>
  Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as T;

function architectureOf(config: Config | undefined): Architecture {
  const architectures = configValue(config, "architectures");
  const tied = configValue(config, "tie_word_embeddings");
  return known({
    architecture: Array.isArray(architectures) ? textOf(architectures[0]) : undefined,
    model_type: textOf(configValue(config, "model_type")),
    layers: numberOf(config, ...LAYER_KEYS),
    hidden: numberOf(config, "hidden_size", "n_embd", "d_model"),
    heads: numberOf(config, "num_attention_heads", "n_head", "num_heads"),
    kv_heads: numberOf(config, "num_key_value_heads"),
    vocab: numberOf(config, "vocab_size"),
    tied: typeof tied === "boolean" ? tied : undefined,
  }) as Architecture;
}

function adapterOf(checkpoint: Checkpoint): AdapterFacts | undefined {
  const bytes = checkpoint.files.get("adapter_config.json");
  if (bytes === undefined) return undefined;
  const what = `adapter_config.json of ${checkpoint.ref}`;
  const { value } = parseJson(decodeText(bytes, what), what);
  if (!isObject(value)) throw new UserError(`${what} is not a JSON object`, "fetch the adapter again");
  const targets: unknown = value.target_modules;
  return known({
    type: textOf(value.peft_type),
    rank: typeof value.r === "number" ? value.r : undefined,
    alpha: typeof value.lora_alpha === "number" ? value.lora_alpha : undefined,
    base: textOf(value.base_model_name_or_path),
    targets: Array.isArray(targets)
      ? targets.filter((target): target is string => typeof target === "string")
      : typeof targets === "string"
        ? [targets]
        : undefined,
  }) as AdapterFacts;
}

/** The index of a local folder; undefined without one. */
export async function indexOf(checkpoint: Checkpoint): Promise<IndexFacts | undefined> {
  // A folder of the Hub's cache is known by its reference only; its index was checked when it was opened.
  if (checkpoint.kind !== "folder" || checkpoint.ref.startsWith("hf:")) return undefined;
  const index = await indexText(checkpoint.ref, checkpoint.ref).catch(() => undefined); // of pickled weights: none
  if (index === undefined) return undefined;
  const { name, text } = index;
  const what = join(checkpoint.ref, name);
  const { value } = parseJson(text, what, 16);
  const metadata = isObject(value) && isObject(value.metadata) ? value.metadata : {};
  const total = metadata.total_size;
  return {
    name,
    shards: parseIndex(text, what).shards.length,
    totalSize: typeof total === "number" ? total : undefined,
  };
}

const amountOf = (tensors: readonly TensorInfo[]): Amount => ({
  tensors: tensors.length,
  parameters: tensors.reduce((sum, { shape }) => sum + sizeOf(shape), 0),
  bytes: tensors.reduce((sum, { bytes }) => sum + bytes, 0),
});

/**
 * Describes the tensors given, which may be a choice of the checkpoint's. Throws a UserError for a config that is not
 * JSON.
 */
export function overviewOf(
  checkpoint: Checkpoint,
  tensors: readonly TensorInfo[],
  index: IndexFacts | undefined,
): Overview {
  const all = amountOf(tensors);
  const embeddings = amountOf(tensors.filter(({ name, shape }) => shape.length === 2 && isTable(name))).parameters;
  const byDtype = Map.groupBy(tensors, ({ dtype }) => dtype);
  const dtypes = [...byDtype].map(([dtype, own]) => [dtype, amountOf(own)] as const);
  const adapter = adapterOf(checkpoint);
  const files = [...checkpoint.files.keys()];
  return {
    ref: checkpoint.ref,
    kind: checkpoint.kind,
    header_sha256: checkpoint.headerSha256,
    ...(checkpoint.revision === undefined ? {} : { revision: checkpoint.revision }),
    architecture: architectureOf(readConfig(checkpoint)),
    ...(adapter && { adapter }),
    tokenizer: files.some((name) => /^(tokenizer\.(json|model)|vocab\.|spiece|sentencepiece)/.test(name)),
    files,
    parameters: { total: all.parameters, embeddings, rest: all.parameters - embeddings },
    bytes: all.bytes,
    ...(checkpoint.quantized && { quantized: checkpoint.quantized }),
    ...(checkpoint.undecoded !== undefined && { undecoded: checkpoint.undecoded }),
    dtypes: Object.fromEntries(dtypes.sort(([, a], [, b]) => b.bytes - a.bytes)),
    ...(index && { shards: index.shards }),
  };
}

/** Tables of tokens and positions, and heads that may be tied to them. */
const isTable = (name: string): boolean => isEmbedding(name) || /(^|\.)wpe\.weight$/.test(name);
