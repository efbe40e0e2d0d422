/** What a GGUF file says of a model's architecture, from its config.json, in the keys that llama.cpp reads. */
import { UserError } from "../../../errors.ts";
import { show } from "../../../json.ts";
import type { GgufArchitecture, GgufSizes } from "../architecture.ts";
import { architectureOfType, GGUF_MODEL_TYPES } from "../architectures.ts";
import { type Config, expectValue, positiveOf, wholeOf } from "./config.ts";
import type { GgufEntries } from "./encode-header.ts";
import { Put } from "./put.ts";
import { addRope, type RotaryTables } from "./rope.ts";

export interface ModelMetadata extends GgufSizes {
  /** `general.architecture`, which every other key begins with. */
  readonly name: string;
  readonly architecture: GgufArchitecture;
  /** Keys under the architecture's name. */
  readonly entries: GgufEntries;
  /** Experts of a block; 0 where there are none. */
  readonly experts: number;
  readonly tied: boolean;
  /** Factors of the rotary frequencies, by the names of the tensors that hold them. */
  readonly tables: RotaryTables;
}

/**
 * Reads a config. `warn` hears of what llama.cpp does otherwise. Throws UserError for an architecture, or a value of
 * one, that a GGUF file is not made for here.
 */
export function modelMetadata(config: Config, warn: (message: string) => void): ModelMetadata {
  const type = String(config.model_type);
  const architecture = architectureOfType(type);
  if (architecture === undefined) {
    throw new UserError(
      `a GGUF file is not made of models of type ${show(type)} here`,
      `it is of ${GGUF_MODEL_TYPES.join(", ")}; write x.safetensors or a folder, which llama.cpp's converter reads`,
    );
  }
  const { name, defaults = {} } = architecture;
  expectActivation(config, architecture);
  const sizes = sizesOf(config, architecture);
  const entries: GgufEntries = new Map();
  const put = new Put(entries, name);
  put.u32("context_length", wholeOf(config, "max_position_embeddings"));
  put.u32("embedding_length", sizes.width);
  put.u32("block_count", sizes.layers);
  put.u32("feed_forward_length", wholeOf(config, "intermediate_size"));
  put.u32("attention.head_count", sizes.heads);
  put.u32("attention.head_count_kv", sizes.keyHeads);
  if (architecture.layerNorm) put.f32("attention.layer_norm_epsilon", positiveOf(config, "layer_norm_eps", 1e-5));
  else put.f32("attention.layer_norm_rms_epsilon", positiveOf(config, "rms_norm_eps", defaults.eps ?? 1e-6));
  put.u32("vocab_size", wholeOf(config, "vocab_size"));
  if (config.head_dim != null || defaults.headSize !== undefined) {
    put.u32("attention.key_length", sizes.headSize);
    put.u32("attention.value_length", sizes.headSize);
  }
  const experts = architecture.experts === undefined ? 0 : expertsOf(config, architecture.experts);
  if (experts > 0) put.u32("expert_count", experts);
  architecture.write?.(config, put, sizes);
  const tables = addRope(put, architecture.rotary?.(config) ?? config, { architecture, headSize: sizes.headSize });
  if (!architecture.windows) warnOfWindow(config, warn);
  const tied = (config.tie_word_embeddings ?? defaults.tied) === true;
  return { name, architecture, entries, experts, tied, tables, ...sizes };
}

/** Throws UserError for another activation than llama.cpp takes for granted. */
function expectActivation(config: Config, { gelu }: GgufArchitecture): void {
  if (gelu) expectValue(config, "hidden_activation", "gelu_pytorch_tanh");
  else expectValue(config, "hidden_act", "silu", "swish");
}

/** The number of experts, under the architecture's key or the other one: transformers changed some. */
function expertsOf(config: Config, key: string): number {
  const other = key === "num_experts" ? "num_local_experts" : "num_experts";
  return wholeOf(config, config[key] == null && config[other] != null ? other : key);
}

function sizesOf(config: Config, { defaults = {} }: GgufArchitecture): GgufSizes {
  const heads = wholeOf(config, "num_attention_heads");
  const width = wholeOf(config, "hidden_size");
  const optional = (key: string, otherwise: number) => (config[key] == null ? otherwise : wholeOf(config, key));
  return {
    width,
    heads,
    keyHeads: optional("num_key_value_heads", defaults.keyHeads ?? heads),
    headSize: optional("head_dim", defaults.headSize ?? width / heads),
    layers: wholeOf(config, "num_hidden_layers"),
  };
}

/** llama.cpp gives these architectures no sliding window. */
function warnOfWindow(config: Config, warn: (message: string) => void): void {
  const window = config.sliding_window;
  if (typeof window !== "number" || config.use_sliding_window === false) return;
  if (window >= Number(config.max_position_embeddings)) return;
  warn(
    `the model sees a window of ${window} tokens; llama.cpp lets every token of this architecture see all earlier ones`,
  );
}
