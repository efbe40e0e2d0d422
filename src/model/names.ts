/**
 * What tensor names say about a model, so that merging needs no description of its architecture: which tensors belong
 * to layers, which of the others stand after the stack, which are embeddings, and which name stands for a missing
 * one.
 */

import type { Checkpoint, TensorEntry } from "../checkpoint/checkpoint.ts";
import { UserError } from "../errors.ts";
import { decodeText, isObject, parseJson } from "../json.ts";

export interface LayerName {
  /** What stands before the layer's number: `model.layers`. */
  readonly prefix: string;
  readonly index: number;
  /** What stands after it: `mlp.up_proj.weight`. */
  readonly rest: string;
}

/** Layers are found by the first `.<number>.` of a name. Undefined for tensors outside of layers. */
export function layerOf(name: string): LayerName | undefined {
  const parts = /^(.+?)\.(\d{1,5})\.(.+)$/.exec(name);
  return parts === null ? undefined : { prefix: parts[1]!, index: Number(parts[2]), rest: parts[3]! };
}

/** Tables with one row per token: their heights may differ between models whose vocabularies were extended. */
export const isEmbedding = (name: string): boolean =>
  /embed|lm_head|wte|output|token_embd/i.test(name) && !layerOf(name);

/** Loose tensors that come after the stack, last norm and head; every other loose tensor counts as before it. */
export const isAfterStack = (name: string): boolean =>
  /(^|\.)(norm|ln_f|norm_f|ln_out|final_norm|final_layernorm|final_layer_norm|output_norm|lm_head|embed_out|output|head|score|classifier)(\.|$)/.test(
    name,
  );

/** False for tables of tokens and positions, heads and last norms; true for all that lies in blocks. */
export const isInside = (name: string): boolean =>
  layerOf(name) !== undefined || !(isEmbedding(name) || isAfterStack(name) || /(^|\.)wpe\./.test(name));

/**
 * Constants that some checkpoints store as floats: rotary frequencies and the causal masks of GPT-2 and GPT-NeoX. They
 * are never merged.
 */
export const isBuffer = (name: string, shape: readonly number[]): boolean =>
  /(^|\.)(inv_freq|masked_bias|position_ids)$/.test(name) ||
  (/\.(attn|attention)\.bias$/.test(name) && shape.length === 4);

const TOKEN_TABLE = /(^|\.)(shared|embed_tokens|wte|word_embeddings|embed_in|tok_embeddings|token_embd)\.weight$/;
const HEAD = /(^|\.)(lm_head|embed_out|output)\.weight$/;

export type Config = Record<string, unknown>;

export interface Stack {
  readonly prefix: string;
  /** One more than the highest layer number. */
  readonly count: number;
}

/** A checkpoint under the names that all models of a merge share. */
export interface NamedModel {
  readonly ref: string;
  readonly checkpoint: Checkpoint;
  readonly config: Config | undefined;
  /** In model order. An entry keeps its stored name. */
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  readonly stacks: ReadonlyMap<string, Stack>;
}

/** config.json, or undefined when there is none. Throws a UserError when it is not a JSON object. */
export function readConfig(checkpoint: Checkpoint): Config | undefined {
  const bytes = checkpoint.files.get("config.json");
  if (bytes === undefined) return undefined;
  const what = `config.json of ${checkpoint.ref}`;
  const { value } = parseJson(decodeText(bytes, what), what);
  if (isObject(value)) return value;
  throw new UserError(`${what} is not a JSON object`, "fetch the model again");
}

function stacksOf(names: Iterable<string>): Map<string, Stack> {
  const stacks = new Map<string, Stack>();
  for (const name of names) {
    const layer = layerOf(name);
    if (layer === undefined) continue;
    const count = Math.max(stacks.get(layer.prefix)?.count ?? 0, layer.index + 1);
    stacks.set(layer.prefix, { prefix: layer.prefix, count });
  }
  return stacks;
}

/**
 * GPT-2 is stored with and without `transformer.`, depending on the class that saved it; mergekit writes it with. Other
 * architectures keep the names they have.
 */
function canonical(config: Config | undefined): ((name: string) => string) | undefined {
  const [architecture] = Array.isArray(config?.architectures) ? (config.architectures as unknown[]) : [];
  if (architecture !== "GPT2LMHeadModel") return undefined;
  return (name) => (/^(transformer|lm_head)\./.test(name) ? name : `transformer.${name}`);
}

/** A renaming by a prefix put before or taken off, if that makes nearly all of one side's names known to the other. */
function prefixed(
  own: readonly string[],
  wanted: ReadonlySet<string>,
): { rename(name: string): string; how: string } | undefined {
  const known = (names: readonly string[]) => names.filter((name) => wanted.has(name)).length;
  if (known(own) * 2 >= own.length) return undefined;
  const heads = (names: Iterable<string>) => {
    const found = new Set<string>();
    for (const name of names) {
      const parts = name.split(".");
      for (let n = 1; n <= Math.min(2, parts.length - 1); n++) found.add(`${parts.slice(0, n).join(".")}.`);
      if (found.size > 64) break;
    }
    return [...found];
  };
  const ways = [
    ...heads(wanted).map((prefix) => ({
      rename: (name: string) => (wanted.has(name) ? name : prefix + name),
      how: `with ${prefix} before them`,
    })),
    ...heads(own).map((prefix) => ({
      rename: (name: string) => (!wanted.has(name) && name.startsWith(prefix) ? name.slice(prefix.length) : name),
      how: `without ${prefix}`,
    })),
  ];
  const best = ways
    .map((way) => ({ way, hits: known(own.map(way.rename)) }))
    .reduce((a, b) => (b.hits > a.hits ? b : a), { way: undefined as (typeof ways)[number] | undefined, hits: 0 });
  return best.hits * 10 >= Math.min(own.length, wanted.size) * 9 ? best.way : undefined;
}

/**
 * Gives all checkpoints, and returns under the same keys, the names of the one whose key is `first`: a fine-tune
 * saved by another class may have one more prefix, or one less. Messages about what was renamed are added to
 * `warnings`.
 */
export function nameModels(
  checkpoints: ReadonlyMap<string, Checkpoint>,
  first: string,
  warnings: string[],
): Map<string, NamedModel> {
  const models = new Map<string, NamedModel>();
  let wanted: ReadonlySet<string> | undefined;
  const add = (key: string): void => {
    const checkpoint = checkpoints.get(key);
    if (checkpoint === undefined) throw new RangeError(`${key} is not opened`);
    const config = readConfig(checkpoint);
    let rename = canonical(config);
    if (wanted !== undefined) {
      const own = [...checkpoint.tensors.keys()].map((name) => rename?.(name) ?? name);
      const way = prefixed(own, wanted);
      if (way !== undefined) {
        const before = rename;
        rename = (name) => way.rename(before?.(name) ?? name);
        warnings.push(
          `the names of ${checkpoint.ref} are matched with those of ${checkpoints.get(first)!.ref} ${way.how}`,
        );
      }
    }
    const tensors = new Map<string, TensorEntry>();
    for (const [name, entry] of checkpoint.tensors) tensors.set(rename?.(name) ?? name, entry);
    if (tensors.size !== checkpoint.tensors.size)
      throw new UserError(`${checkpoint.ref} has the same tensors under two prefixes`);
    models.set(key, { ref: checkpoint.ref, checkpoint, config, tensors, stacks: stacksOf(tensors.keys()) });
    wanted ??= new Set(tensors.keys());
  };
  add(first);
  for (const key of checkpoints.keys()) if (key !== first) add(key);
  return models;
}

/** Where configs keep the settings of the language part of a model with several parts. */
export const TEXT_CONFIGS = ["text_config", "llm_config", "language_config"];

/** A field of the config, or of its language part. */
export function configValue(config: Config | undefined, ...keys: string[]): unknown {
  if (config === undefined) return undefined;
  const inner = TEXT_CONFIGS.map((key) => config[key]).filter((value) => typeof value === "object" && value !== null);
  for (const place of [config, ...(inner as Config[])]) {
    for (const key of keys) if (Object.hasOwn(place, key) && place[key] !== null) return place[key];
  }
  return undefined;
}

export const LAYER_KEYS = ["num_hidden_layers", "n_layer", "num_layers", "n_layers"];

/**
 * The stack that slices cut: as many layers as the config says, else the longest one. Undefined if that leaves a
 * choice.
 */
export function mainStack(
  model: Pick<NamedModel, "config" | "stacks">,
  among: Iterable<Stack> = model.stacks.values(),
): Stack | undefined {
  const stacks = [...among];
  const said = configValue(model.config, ...LAYER_KEYS);
  const configured = stacks.filter(({ count }) => count === said);
  if (configured.length === 1) return configured[0];
  const most = Math.max(...stacks.map(({ count }) => count));
  const longest = stacks.filter(({ count }) => count === most);
  return longest.length === 1 ? longest[0] : undefined;
}

/** The token embedding. */
export function tokenTable(model: NamedModel): { name: string; entry: TensorEntry } | undefined {
  for (const [name, entry] of model.tensors) if (TOKEN_TABLE.test(name) && !layerOf(name)) return { name, entry };
  return undefined;
}

/** Whether the config says, or the lack of a head implies, that head and token embedding are one tensor. */
export const isTied = (model: NamedModel): boolean => configValue(model.config, "tie_word_embeddings") !== false;

export const isHead = (name: string): boolean => HEAD.test(name) && !layerOf(name);

/** An encoder-decoder's token table, and the names under which encoder and decoder show the same tensor. */
const COPIES = /^(.*?)(?:encoder|decoder)\.embed_tokens\.weight$/;

/**
 * The name of the tensor that this one is a copy of: an encoder-decoder's `shared.weight`, and the token embedding for
 * a head that the config ties. Undefined for what is no copy in this model, or stands alone in it.
 */
export function tiedTo(model: NamedModel, name: string): string | undefined {
  const [, before] = COPIES.exec(name) ?? [];
  if (before !== undefined && model.tensors.has(`${before}shared.weight`)) return `${before}shared.weight`;
  if (!isHead(name) || configValue(model.config, "tie_word_embeddings") !== true) return undefined;
  const table = tokenTable(model)?.name;
  return table === undefined ? undefined : (tiedTo(model, table) ?? table);
}

/**
 * The tensor of this name, or the one that it is tied to where it is not stored: the embedding for a head, the shared
 * table for those of encoder and decoder, one of these for the shared one.
 */
export function resolve(model: NamedModel, name: string): TensorEntry | undefined {
  const entry = model.tensors.get(name);
  if (entry !== undefined) return entry;
  if (isHead(name) && isTied(model)) return tokenTable(model)?.entry;
  const before = COPIES.exec(name)?.[1] ?? /^(.*?)shared\.weight$/.exec(name)?.[1];
  if (before === undefined) return undefined;
  const group = ["shared", "encoder.embed_tokens", "decoder.embed_tokens"];
  return group.map((part) => model.tensors.get(`${before}${part}.weight`)).find((found) => found !== undefined);
}

/** What tensors begin with that say how a head was fitted: no model computes with them. */
export const FIT_STATE = "analytic.";

/** Whether a tensor is of such a state, which training leaves out. */
export const isFitState = (name: string): boolean => name.startsWith(FIT_STATE);
