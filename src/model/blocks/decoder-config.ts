/**
 * What tells one decoder of the Llama family from another, and how config.json says it: sizes, kinds of layers, and the
 * places of norms, scales and caps.
 */
import { CANNOT_RUN, UserError } from "../../errors.ts";
import type { GateActivation } from "../../tensor/ops/activation.ts";
import type { RopeTables } from "../../tensor/ops/rope-scaling.ts";
import type { Json, ModelSizes } from "../architecture.ts";
import { ConfigReader, expectHead } from "../config.ts";
import { rotary } from "./rotary.ts";

/** The key of config.json that holds the epsilon of norms. */
type EpsKey = "rms_norm_eps" | "layer_norm_eps";

/** How the attention of a layer sees positions. */
export interface LayerKind {
  /** A query sees so many of the last keys; all of them when left out. */
  readonly window?: number;
  /** Turns keys and queries; positions do not enter when left out. */
  readonly rope?: RopeTables;
  /** Turns queries, where these turn otherwise than keys. */
  readonly queryRope?: RopeTables;
}

/** Norms around a half of a block, by their names in the layer. */
export interface Around {
  /** Of what goes into the half. */
  readonly before?: string;
  /** Of what comes out, before it is added to the residual. */
  readonly after?: string;
  /** Of the sum of both. */
  readonly sum?: string;
}

/** RMSNorm of q and k: per head, or over all heads together. */
export interface QkNorm {
  readonly over: "head" | "all";
  /** After the rotation rather than before it. */
  readonly rotated?: boolean;
  readonly names: { readonly q: string; readonly k: string };
}

/** How a decoder departs from Llama 2. */
export interface DecoderTraits {
  /** Biases of q, k, v; of o; of the feed-forward network. */
  readonly bias: { readonly qkv: boolean; readonly o: boolean; readonly mlp: boolean };
  readonly qkNorm?: QkNorm | undefined;
  /** RMSNorm, RMSNorm with a gain of 1 + w, or LayerNorm without a bias. */
  readonly norm: "rms" | "rms-plus-one" | "layer";
  readonly norms: { readonly attention: Around; readonly feedForward: Around };
  /** Attention and feed-forward network read the same normalised state. */
  readonly parallel: boolean;
  readonly activation: GateActivation;
  /** Projections that are stored as one matrix: rows of q, k, v, and of gate and up. */
  readonly fused: { readonly qkv: boolean; readonly gateUp: boolean };
  /** q_proj gives every head a gate beside its query: what the head reads is multiplied by the gate's sigmoid. */
  readonly gate: boolean;
  /** Multiplies q k^T; 1 / sqrt(headDim) when left out. */
  readonly attentionScale?: number | undefined;
  /** Every head has one more score, whose share goes to no value: `sinks`. */
  readonly sinks: boolean;
  /** Scores and logits x become cap tanh(x / cap). */
  readonly caps: { readonly scores?: number | undefined; readonly logits?: number | undefined };
  /** Of the embedding, of what a half of a block adds, of the logits. */
  readonly multipliers: { readonly embedding: number; readonly residual: number; readonly logits: number };
  /** Whether the embedding's multiplier is of its rows alone, and not of what stands in their place. */
  readonly scaledTable?: boolean;
}

export interface DecoderConfig extends DecoderTraits {
  readonly width: number;
  readonly inner: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly vocabulary: number;
  readonly maxPositions: number;
  readonly eps: number;
  readonly epsKey: EpsKey;
  readonly tied: boolean;
  readonly std: number;
  /** Of each layer. */
  readonly kinds: readonly LayerKind[];
  /** Row of the embedding that takes no gradient, as PyTorch's `padding_idx`; the head's part of a tied row does. */
  readonly padding?: number;
  /** Keys of config.json that only some decoders have, as other tools read them. */
  readonly keys: Json;
}

/** Llama 2. */
const LLAMA: DecoderTraits = {
  bias: { qkv: false, o: false, mlp: false },
  norm: "rms",
  norms: {
    attention: { before: "input_layernorm" },
    feedForward: { before: "post_attention_layernorm" },
  },
  parallel: false,
  activation: "silu",
  fused: { qkv: false, gateUp: false },
  gate: false,
  sinks: false,
  caps: {},
  multipliers: { embedding: 1, residual: 1, logits: 1 },
};

/** Norms after the halves alone: OLMo 2, EXAONE 4. */
export const NORMS_AFTER: DecoderTraits["norms"] = {
  attention: { after: "post_attention_layernorm" },
  feedForward: { after: "post_feedforward_layernorm" },
};

/** Norms of q and k under their usual names. */
export const qkNorm = (over: QkNorm["over"]): QkNorm => ({ over, names: { q: "q_norm", k: "k_norm" } });

/** What the kinds of layers are made from. */
export interface LayerSizes {
  readonly layers: number;
  readonly headDim: number;
  readonly maxPositions: number;
}

/** Keys of sizes that a config may leave out. */
type SizeKey = "head_dim" | "num_key_value_heads" | "max_position_embeddings" | "intermediate_size";

/** What an architecture says of itself: traits, and values of keys that a config leaves out. */
export interface DecoderOwn extends Partial<DecoderTraits> {
  readonly tied: boolean;
  readonly theta?: number;
  /** Key and value of the norms' epsilon; `rms_norm_eps` and 1e-6 when left out. */
  readonly epsKey?: EpsKey;
  readonly eps?: number;
  readonly defaults?: Partial<Record<SizeKey, number>>;
  /** Every layer's window. */
  readonly window?: number;
  /** The kind of every layer; all alike, with one rotary table and `window`, when left out. */
  readonly kinds?: (sizes: LayerSizes) => readonly LayerKind[];
  readonly keys?: Json;
}

/** Token of `pad_token_id`, counted from the end where it is negative; undefined without one in the vocabulary. */
function paddingRow(id: unknown, vocabulary: number): { readonly padding?: number } {
  if (typeof id !== "number" || !Number.isInteger(id)) return {};
  const row = id < 0 ? vocabulary + id : id;
  return row >= 0 && row < vocabulary ? { padding: row } : {};
}

/** The name of a kind of layer in `layer_types`. */
export type LayerType = "full_attention" | "sliding_attention";

/** A number for every layer, as `key` lists them or `fallback` says. Throws UserError. */
export function perLayer(
  c: ConfigReader,
  key: string,
  layers: number,
  fallback: (layer: number) => number,
): readonly number[] {
  const given = c.counts(key, []);
  const values = given.length === 0 ? Array.from({ length: layers }, (_, layer) => fallback(layer)) : given;
  return expectLayers(c, key, values, layers);
}

/** The first `layers` entries of a list. Throws UserError when there are fewer. */
function expectLayers<T>(c: ConfigReader, key: string, values: readonly T[], layers: number): readonly T[] {
  if (values.length >= layers) return values.slice(0, layers);
  throw new UserError(
    `${c.where}: ${key} has ${values.length} entries for ${layers} layers (num_hidden_layers)`,
    "compare it with the model's page",
  );
}

/** `layer_types`, each one of `among`, or what `fallback` says where the config has none. Throws UserError. */
export function layerTypes<T extends string = LayerType>(
  c: ConfigReader,
  layers: number,
  fallback: (layer: number) => T,
  among: readonly string[] = ["full_attention", "sliding_attention"],
): readonly T[] {
  const types = c.words<T>("layer_types", among as readonly T[]);
  if (types === undefined) return Array.from({ length: layers }, (_, layer) => fallback(layer));
  return expectLayers(c, "layer_types", types, layers);
}

/** All layers but every n-th see a window only; with n = 0 none does. */
export const fullEvery =
  (n: number) =>
  (layer: number): LayerType =>
    n === 0 || (layer + 1) % n === 0 ? "full_attention" : "sliding_attention";

/** One kind for all layers. Throws UserError where `layer_types` says otherwise. */
function alike(c: ConfigReader, { layers }: LayerSizes, kind: LayerKind): readonly LayerKind[] {
  const wanted: LayerType = kind.window ? "sliding_attention" : "full_attention";
  const other = c.words("layer_types")?.find((type) => type !== wanted);
  if (other !== undefined)
    throw new UserError(
      `${c.where}: layer_types has ${JSON.stringify(other)}; every layer of ${c.modelType} is ${wanted} here`,
      CANNOT_RUN,
    );
  return Array.from({ length: layers }, () => kind);
}

/** Reads the sizes of q, k and v. Throws UserError where they do not fit each other. */
function headsOf(c: ConfigReader, width: number, { defaults = {} }: DecoderOwn) {
  const heads = c.count("num_attention_heads");
  if (heads > width && !c.has("head_dim") && defaults.head_dim === undefined)
    throw new UserError(
      `${c.where}: ${heads} heads (num_attention_heads) do not fit into hidden_size ${width}, and there is no head_dim`,
      "compare it with the model's page",
    );
  const headDim = c.count("head_dim", defaults.head_dim ?? Math.floor(width / heads));
  expectHead(c.where, headDim);
  const kvHeads = c.count("num_key_value_heads", defaults.num_key_value_heads ?? heads);
  if (heads % kvHeads !== 0)
    throw new UserError(
      `${c.where}: ${heads} heads (num_attention_heads) cannot share ${kvHeads} of keys and values (num_key_value_heads)`,
      "the first must be a multiple of the second",
    );
  return { heads, headDim, kvHeads };
}

/** Reads the keys that these architectures share. Throws UserError. */
export function decoderConfig(json: Json, where: string, own: DecoderOwn): DecoderConfig {
  const c = new ConfigReader(json, where);
  const { tied, theta, epsKey = "rms_norm_eps", eps = 1e-6, defaults = {}, window, kinds, keys = {}, ...traits } = own;
  const width = c.count("hidden_size");
  const { heads, headDim, kvHeads } = headsOf(c, width, own);
  const maxPositions = c.count("max_position_embeddings", defaults.max_position_embeddings ?? 2048);
  if ((traits.activation ?? LLAMA.activation) === "silu") c.only("hidden_act", "silu");
  const vocabulary = c.count("vocab_size");
  const sizes = { layers: c.count("num_hidden_layers"), headDim, maxPositions };
  return {
    ...LLAMA,
    ...traits,
    width,
    inner: c.count("intermediate_size", defaults.intermediate_size),
    heads,
    kvHeads,
    vocabulary,
    ...sizes,
    eps: c.number(epsKey, eps, { least: 0 }),
    tied: c.flag("tie_word_embeddings", tied),
    std: c.number("initializer_range", 0.02, { least: 0 }),
    kinds:
      kinds?.(sizes) ??
      alike(c, sizes, {
        rope: rotary(c, { headDim, maxPositions, ...(theta ? { theta } : {}) }),
        ...(window ? { window } : {}),
      }),
    epsKey,
    keys,
    ...paddingRow(json.pad_token_id, vocabulary),
  };
}

/** Windows and types of layers as config.json says them. */
function windowKeys({ kinds }: DecoderConfig): Json {
  const windows = kinds.flatMap(({ window }) => window ?? []);
  const mixed = windows.length > 0 && windows.length < kinds.length;
  const type = ({ window }: LayerKind): LayerType => (window ? "sliding_attention" : "full_attention");
  return {
    ...(windows.length > 0 ? { sliding_window: windows[0] } : {}),
    ...(mixed ? { layer_types: kinds.map(type) } : {}),
  };
}

/** Base of the frequencies: that of layers without a window where kinds differ. */
function thetaOf({ kinds }: DecoderConfig): Json {
  const turned = kinds.filter(({ rope }) => rope);
  const rope = (turned.find(({ window }) => !window) ?? turned[0])?.rope;
  return rope ? { rope_theta: rope.theta } : {};
}

/** All keys of these architectures that other tools read. */
export const decoderImplied = (c: DecoderConfig): Json => ({
  vocab_size: c.vocabulary,
  hidden_size: c.width,
  intermediate_size: c.inner,
  num_hidden_layers: c.layers,
  num_attention_heads: c.heads,
  num_key_value_heads: c.kvHeads,
  head_dim: c.headDim,
  ...(c.activation === "silu" ? { hidden_act: "silu" } : {}),
  max_position_embeddings: c.maxPositions,
  initializer_range: c.std,
  [c.epsKey]: c.eps,
  ...thetaOf(c),
  tie_word_embeddings: c.tied,
  ...windowKeys(c),
  ...c.keys,
});

export function decoderSizes(c: DecoderConfig): ModelSizes {
  const long = c.kinds.find(({ rope }) => rope?.long)?.rope?.long;
  return {
    layers: c.layers,
    width: c.width,
    outputs: c.vocabulary,
    maxPositions: c.maxPositions,
    ...(long && long.original < c.maxPositions ? { turnsAnewBeyond: long.original } : {}),
  };
}
