/**
 * The Hugging Face side of a GGUF file: tensor names, which rows were reordered, and config.json, for the decoders
 * whose conversion by llama.cpp can be undone exactly.
 */
import { UserError } from "../../errors.ts";
import { show } from "../../json.ts";
import { type Dtype, torchName } from "../dtype.ts";

/** Values are numbers, big integers, texts, booleans and arrays of them. */
export type GgufMetadata = ReadonlyMap<string, unknown>;

interface Stated {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: Dtype;
}

/** What becomes of a stored tensor: its name, and with `heads` that its rows go back into order within each head. */
interface Role {
  readonly name: string;
  readonly heads?: number;
}

/** llama.cpp calls Mistral models llama too; a few older files say mistral. */
const MODELS: Record<string, { type: string; class: string; reordered: boolean }> = {
  llama: { type: "llama", class: "LlamaForCausalLM", reordered: true },
  mistral: { type: "mistral", class: "MistralForCausalLM", reordered: true },
  qwen2: { type: "qwen2", class: "Qwen2ForCausalLM", reordered: false },
  qwen3: { type: "qwen3", class: "Qwen3ForCausalLM", reordered: false },
};

const WHOLE: Record<string, string> = {
  "token_embd.weight": "model.embed_tokens.weight",
  "output_norm.weight": "model.norm.weight",
  "output.weight": "lm_head.weight",
};

const IN_BLOCK: Record<string, string> = {
  attn_norm: "input_layernorm",
  attn_q: "self_attn.q_proj",
  attn_k: "self_attn.k_proj",
  attn_v: "self_attn.v_proj",
  attn_output: "self_attn.o_proj",
  attn_q_norm: "self_attn.q_norm",
  attn_k_norm: "self_attn.k_norm",
  ffn_norm: "post_attention_layernorm",
  ffn_gate: "mlp.gate_proj",
  ffn_up: "mlp.up_proj",
  ffn_down: "mlp.down_proj",
};

/** Llama 3's scaled rotary frequencies, kept as a tensor by llama.cpp and as numbers in config.json. */
const ROPE_FACTORS = "rope_freqs.weight";

function huggingFaceName(name: string): string | undefined {
  if (Object.hasOwn(WHOLE, name)) return WHOLE[name];
  const match = /^blk\.(\d{1,4})\.([a-z_]+)\.(weight|bias)$/.exec(name);
  if (match === null || !Object.hasOwn(IN_BLOCK, match[2]!)) return undefined;
  return `model.layers.${Number(match[1])}.${IN_BLOCK[match[2]!]}.${match[3]}`;
}

/**
 * Roles by stored name (a tensor without one is described by the config instead) and the model's files. When the
 * architecture or one of its tensors is unknown, nothing is translated: every tensor keeps its name, without files.
 * Throws UserError when the metadata contradicts the tensors.
 */
export async function translateGguf(
  metadata: GgufMetadata,
  tensors: readonly Stated[],
  read: (name: string) => Promise<Float32Array>,
  ref: string,
): Promise<{ roles: Map<string, Role>; files: Map<string, Uint8Array> }> {
  const architecture = String(metadata.get("general.architecture"));
  const model = Object.hasOwn(MODELS, architecture) ? MODELS[architecture] : undefined;
  const named = tensors.filter(({ name }) => name !== ROPE_FACTORS);
  if (model === undefined || named.some(({ name }) => huggingFaceName(name) === undefined)) {
    return { roles: new Map(tensors.map(({ name }) => [name, { name }])), files: new Map() };
  }

  const number = (key: string): number | undefined => numberOf(metadata.get(`${architecture}.${key}`));
  const required = (key: string): number => {
    const value = number(key);
    if (value !== undefined && Number.isSafeInteger(value) && value > 0) return value;
    const found = metadata.get(`${architecture}.${key}`);
    throw new UserError(
      `${ref}: ${architecture}.${key} is ${found}, expected a whole number above 0`,
      "the file is damaged",
    );
  };
  const heads = required("attention.head_count");
  const keyHeads = number("attention.head_count_kv") === undefined ? heads : required("attention.head_count_kv");

  const roles = new Map<string, Role>();
  for (const { name, shape } of named) {
    const which = model.reordered ? /\.attn_([qk])\.(?:weight|bias)$/.exec(name)?.[1] : undefined;
    if (which === undefined) {
      roles.set(name, { name: huggingFaceName(name)! });
      continue;
    }
    const count = which === "q" ? heads : keyHeads;
    const rows = shape[0] ?? 0;
    if (rows === 0 || rows % (2 * count) !== 0) {
      throw new UserError(
        `${ref}: ${show(name)} has ${rows} rows, which ${count} heads with rotary pairs cannot share`,
        "the file is damaged, or not a plain llama model",
      );
    }
    roles.set(name, { name: huggingFaceName(name)!, heads: count });
  }

  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  const embedding = byName.get("token_embd.weight");
  const width = required("embedding_length");
  const headSize = number("attention.key_length");
  const theta = number("rope.freq_base") ?? 10000;
  const config = {
    architectures: [model.class],
    model_type: model.type,
    hidden_size: width,
    intermediate_size: required("feed_forward_length"),
    num_hidden_layers: required("block_count"),
    num_attention_heads: heads,
    num_key_value_heads: keyHeads,
    ...(headSize === undefined ? {} : { head_dim: headSize }),
    hidden_act: "silu",
    vocab_size: embedding?.shape[0] ?? numberOf(metadata.get(`${architecture}.vocab_size`)),
    max_position_embeddings: required("context_length"),
    rms_norm_eps: shortest(number("attention.layer_norm_rms_epsilon") ?? 1e-5),
    rope_theta: shortest(theta),
    ...(await ropeScaling(number, metadata.get(`${architecture}.rope.scaling.type`), {
      factors: byName.has(ROPE_FACTORS) ? await read(ROPE_FACTORS) : undefined,
      headSize: number("rope.dimension_count") ?? headSize ?? width / heads,
      theta,
      ref,
    })),
    tie_word_embeddings: !byName.has("output.weight"),
    ...(model.reordered
      ? { attention_bias: byName.has("blk.0.attn_q.bias"), mlp_bias: byName.has("blk.0.ffn_gate.bias") }
      : {}),
    ...tokens(metadata),
    torch_dtype: torchName(embedding?.dtype ?? "F32"),
  };
  const text = `${JSON.stringify(config, null, 2)}\n`;
  return { roles, files: new Map([["config.json", new TextEncoder().encode(text)]]) };
}

/** A number of the metadata; counts that may differ between layers are arrays, taken when all are equal. */
function numberOf(value: unknown): number | undefined {
  if (Array.isArray(value)) return new Set(value).size === 1 ? numberOf(value[0]) : undefined;
  const number = typeof value === "bigint" ? Number(value) : value;
  return typeof number === "number" && Number.isFinite(number) ? number : undefined;
}

/**
 * Metadata holds f32; the shortest decimal that rounds to it is what the model's author wrote (1e-5, not
 * 9.99999974e-6).
 */
function shortest(value: number): number {
  for (let digits = 1; digits < 9; digits++) {
    const decimal = Number(value.toPrecision(digits));
    if (Math.fround(decimal) === Math.fround(value)) return decimal;
  }
  return value;
}

function tokens(metadata: GgufMetadata): Record<string, number> {
  const found: Record<string, number> = {};
  for (const which of ["bos", "eos"]) {
    const value = numberOf(metadata.get(`tokenizer.ggml.${which}_token_id`));
    if (value !== undefined) found[`${which}_token_id`] = value;
  }
  return found;
}

/**
 * rope_scaling from the metadata, or from Llama 3's table of factors, which is checked against the formula it came
 * from.
 */
async function ropeScaling(
  number: (key: string) => number | undefined,
  type: unknown,
  given: { factors: Float32Array | undefined; headSize: number; theta: number; ref: string },
): Promise<{ rope_scaling?: Record<string, unknown> }> {
  const original = number("rope.scaling.original_context_length");
  if (given.factors !== undefined) {
    const scaling = {
      rope_type: "llama3",
      factor: shortest(given.factors.reduce((most, value) => Math.max(most, value), 1)),
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: original ?? 8192,
    };
    const expected = llama3Factors(scaling, given.headSize, given.theta);
    const agrees =
      expected.length === given.factors.length &&
      expected.every((value, i) => Math.abs(value - given.factors![i]!) <= 1e-3 * value);
    if (agrees) return { rope_scaling: scaling };
    throw new UserError(
      `${given.ref}: ${ROPE_FACTORS} does not follow Llama 3's formula, so config.json cannot express it`,
      "take the model in its original format instead",
    );
  }
  const factor = number("rope.scaling.factor");
  if ((type !== "linear" && type !== "yarn") || factor === undefined) return {};
  const length = original === undefined ? {} : { original_max_position_embeddings: original };
  return { rope_scaling: { rope_type: type, factor: shortest(factor), ...length } };
}

/**
 * What each rotary frequency is divided by (transformers' `_compute_llama3_parameters`): 1 for fast ones, `factor` for
 * slow.
 */
export function llama3Factors(
  scaling: {
    factor: number;
    low_freq_factor: number;
    high_freq_factor: number;
    original_max_position_embeddings: number;
  },
  headSize: number,
  theta: number,
): number[] {
  const { factor, low_freq_factor: low, high_freq_factor: high, original_max_position_embeddings: length } = scaling;
  return Array.from({ length: Math.floor(headSize / 2) }, (_, i) => {
    const turns = length / (2 * Math.PI * theta ** ((2 * i) / headSize)); // over the original context
    if (turns > high) return 1;
    if (turns < low) return factor;
    const smooth = (turns - low) / (high - low);
    return 1 / ((1 - smooth) / factor + smooth);
  });
}
