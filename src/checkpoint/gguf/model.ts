/**
 * The Hugging Face side of a GGUF file: tensor names, which rows were reordered, and config.json, for the decoders
 * whose conversion by llama.cpp can be undone exactly.
 */
import { UserError } from "../../errors.ts";
import { show } from "../../json.ts";
import { type Dtype, torchName } from "../dtype.ts";
import { EXPERT, type GgufArchitecture, type GgufSizes } from "./architecture.ts";
import { architectureOfFile } from "./architectures.ts";
import type { GgufMetadata } from "./header.ts";
import { GgufKeys } from "./keys.ts";
import { huggingFaceName } from "./names.ts";
import { numberOf, shortest } from "./numbers.ts";
import { LLAMA3_KEY, LONG_FACTORS, ROPE_FACTORS, ROTARY_TABLES, ropeScaling, SHORT_FACTORS } from "./rope.ts";

interface Stated {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: Dtype;
}

/**
 * What becomes of a stored tensor: its name; with `heads` its rows go back into order within each head; with `experts`
 * it is cut along its first side, and the parts are named by `name` with EXPERT replaced by their numbers. A `gain` is
 * stored as 1 + w; a `row` may have one side less than at Hugging Face.
 */
export interface Role {
  readonly name: string;
  readonly heads?: number;
  readonly experts?: number;
  readonly gain?: true;
  readonly row?: true;
}

/** What the header says, and how to read what it points to. */
export interface GgufModel {
  readonly ref: string;
  readonly metadata: GgufMetadata;
  readonly tensors: readonly Stated[];
  /** The values of a small F32 tensor. */
  read(name: string): Promise<Float32Array>;
}

/**
 * Roles by stored name (a tensor without one is described by the config instead) and config.json as an object. When the
 * architecture or one of its tensors is unknown, nothing is translated: every tensor keeps its name, without a config.
 * Throws UserError when the metadata contradicts the tensors.
 */
export async function translateGguf(
  given: GgufModel,
): Promise<{ roles: Map<string, Role>; config?: Record<string, unknown> }> {
  const { metadata, tensors, ref } = given;
  const model = architectureOfFile(metadata, ref);
  const named = tensors.filter(({ name }) => !ROTARY_TABLES.includes(name));
  if (model === undefined || named.some(({ name }) => huggingFaceName(name, model) === undefined)) {
    return { roles: new Map(tensors.map(({ name }) => [name, { name }])) };
  }
  const keys = new GgufKeys(metadata, model.name, ref);
  const sizes = sizesOf(keys, model);
  checkCounts(keys, model, named, ref);
  const experts = model.experts === undefined ? 0 : keys.required("expert_count");
  return {
    roles: new Map(named.map((tensor) => [tensor.name, roleOf(tensor, model, { ...sizes, experts }, ref)])),
    config: await configOf(given, keys, model, sizes),
  };
}

function sizesOf(keys: GgufKeys, { reordered, defaults = {} }: GgufArchitecture): GgufSizes & { stated: boolean } {
  const heads = keys.required("attention.head_count");
  const width = keys.required("embedding_length");
  const stated = keys.number("attention.key_length") ?? (reordered ? keys.number("rope.dimension_count") : undefined);
  return {
    heads,
    width,
    keyHeads: keys.has("attention.head_count_kv") ? keys.required("attention.head_count_kv") : heads,
    headSize: stated ?? defaults.headSize ?? width / heads,
    stated: (stated ?? defaults.headSize) !== undefined,
    layers: keys.required("block_count"),
  };
}

/** Holds the sizes of the metadata against the tensors, before anything is made as large as they say. */
function checkCounts(keys: GgufKeys, { twofold }: GgufArchitecture, tensors: readonly Stated[], ref: string): void {
  const blocks = new Set(tensors.flatMap(({ name }) => /^blk\.(\d+)\./.exec(name)?.[1] ?? []));
  keys.agree("block_count", blocks.size, `the blocks with tensors are`);
  for (const { name, shape } of tensors) {
    if (name === "token_embd.weight") keys.agree("embedding_length", shape.at(-1) ?? 1, `${name} has rows of`);
    if (/\.ffn_up\.weight$/.test(name)) {
      const [half, what] = twofold ? [2, "half the rows"] : [1, "the rows"];
      keys.agree("feed_forward_length", (shape[0] ?? 1) / half, `${what} of ${name} are`);
    }
    const bound = name.startsWith("blk.") && Number(name.split(".")[1]) >= blocks.size;
    if (bound) throw new UserError(`${ref} has ${show(name)}, but only ${blocks.size} blocks`, "the file is damaged");
  }
}

/** What becomes of one stored tensor. Throws UserError where its sides do not fit the heads or experts. */
function roleOf(
  { name, shape }: Stated,
  model: GgufArchitecture,
  { heads, keyHeads, experts }: GgufSizes & { readonly experts: number },
  ref: string,
): Role {
  const plain = huggingFaceName(name, model)!;
  if (plain.includes(EXPERT)) {
    if (shape.length === 3 && shape[0] === experts) return { name: plain, experts };
    throw new UserError(
      `${ref}: ${show(name)} is (${shape.join(", ")}), expected ${experts} experts of two sides`,
      "the file is damaged",
    );
  }
  if (model.plusOne && name.endsWith("_norm.weight")) return { name: plain, gain: true };
  if (name.endsWith(".ffn_gate_inp_shexp.weight")) return { name: plain, row: true };
  const which = model.reordered ? /\.attn_([qk])\.(?:weight|bias)$/.exec(name)?.[1] : undefined;
  if (which === undefined) return { name: plain };
  const count = which === "q" ? heads : keyHeads;
  const rows = shape[0] ?? 0;
  if (rows > 0 && rows % (2 * count) === 0) return { name: plain, heads: count };
  throw new UserError(
    `${ref}: ${show(name)} has ${rows} rows, which ${count} heads with rotary pairs cannot share`,
    "the file is damaged, or not a plain llama model",
  );
}

/** Share of a head that turns. Throws UserError where llama.cpp turns whole heads of the architecture. */
function turningShare(keys: GgufKeys, { defaults = {} }: GgufArchitecture, headSize: number, ref: string) {
  const rotary = keys.number("rope.dimension_count");
  if (defaults.partial !== undefined) {
    return { partial_rotary_factor: rotary === undefined ? defaults.partial : rotary / headSize };
  }
  if (rotary === undefined || rotary === headSize) return {};
  throw new UserError(
    `${ref}: rotary embedding turns ${rotary} of the ${headSize} values of a head`,
    "only heads that are turned whole are supported",
  );
}

async function configOf(
  { metadata, tensors, read, ref }: GgufModel,
  keys: GgufKeys,
  model: GgufArchitecture,
  sizes: GgufSizes & { readonly stated: boolean },
): Promise<Record<string, unknown>> {
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  const embedding = byName.get("token_embd.weight");
  const { headSize } = sizes;
  const { defaults = {} } = model;
  const theta = keys.number("rope.freq_base") ?? defaults.theta ?? 10_000;
  const table = async (name: string) => (byName.has(name) ? await read(name) : undefined);
  const [short, long] = [await table(SHORT_FACTORS), await table(LONG_FACTORS)];
  return {
    architectures: [model.class],
    model_type: model.type,
    hidden_size: sizes.width,
    intermediate_size: keys.required("feed_forward_length"),
    num_hidden_layers: sizes.layers,
    num_attention_heads: sizes.heads,
    num_key_value_heads: sizes.keyHeads,
    ...(sizes.stated ? { head_dim: headSize } : {}),
    ...(model.gelu ? { hidden_activation: "gelu_pytorch_tanh" } : { hidden_act: "silu" }),
    vocab_size: embedding?.shape[0] ?? keys.number("vocab_size"),
    max_position_embeddings: keys.required("context_length"),
    ...(model.layerNorm
      ? { layer_norm_eps: keys.decimal("attention.layer_norm_epsilon", 1e-5) }
      : { rms_norm_eps: keys.decimal("attention.layer_norm_rms_epsilon", 1e-5) }),
    rope_theta: shortest(theta),
    ...turningShare(keys, model, headSize, ref),
    ...(await ropeScaling((key) => keys.number(key), keys.stated("rope.scaling.type"), {
      factors: await table(ROPE_FACTORS),
      ...(short && long ? { long: { short, long } } : {}),
      formula: metadata.get(LLAMA3_KEY),
      headSize: keys.number("rope.dimension_count") ?? headSize,
      theta,
      ref,
    })),
    ...(model.experts === undefined ? {} : { [model.experts]: keys.required("expert_count") }),
    ...model.read?.(keys, sizes),
    tie_word_embeddings: !byName.has("output.weight"),
    ...Object.fromEntries(
      Object.entries(model.biasKeys ?? {}).map(([key, stored]) => [key, byName.has(`blk.0.${stored}.bias`)]),
    ),
    ...tokens(metadata),
    torch_dtype: torchName(embedding?.dtype ?? "F32"),
  };
}

/** Ids of the tokens that begin and end a text. */
function tokens(metadata: GgufMetadata): Record<string, number> {
  const found: Record<string, number> = {};
  for (const which of ["bos", "eos"]) {
    const value = numberOf(metadata.get(`tokenizer.ggml.${which}_token_id`));
    if (value !== undefined) found[`${which}_token_id`] = value;
  }
  return found;
}
