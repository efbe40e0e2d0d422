/** What a GGUF file says of a model's architecture, from its config.json, in the keys that llama.cpp reads. */
import { UserError } from "../../../errors.ts";
import { show } from "../../../json.ts";
import { ARCHITECTURES, architectureOfType, type GgufArchitecture } from "../names.ts";
import { type Config, expectValue, positiveOf, wholeOf } from "./config.ts";
import { f32, type GgufEntries, u32 } from "./encode-header.ts";
import { addRope } from "./rope.ts";

export interface ModelMetadata {
  /** `general.architecture`, which every other key begins with. */
  readonly name: string;
  readonly architecture: GgufArchitecture;
  /** Keys under the architecture's name. */
  readonly entries: GgufEntries;
  readonly layers: number;
  readonly heads: number;
  readonly keyHeads: number;
  /** Experts of a block; 0 where there are none. */
  readonly experts: number;
  readonly tied: boolean;
  /** Llama 3's factors of the rotary frequencies. */
  readonly ropeFactors: Float32Array | undefined;
}

/**
 * Reads a config. `warn` hears of what llama.cpp does otherwise. Throws UserError for an architecture, or a value of
 * one, that a GGUF file is not made for here.
 */
export function modelMetadata(config: Config, warn: (message: string) => void): ModelMetadata {
  const type = String(config.model_type);
  const name = architectureOfType(type);
  if (name === undefined) {
    throw new UserError(
      `a GGUF file is not made of models of type ${show(type)} here`,
      `it is of ${Object.values(ARCHITECTURES)
        .map((one) => one.type)
        .join(", ")}; write x.safetensors or a folder, which llama.cpp's converter reads`,
    );
  }
  const architecture = ARCHITECTURES[name]!;
  expectValue(config, "hidden_act", "silu", "swish");
  const heads = wholeOf(config, "num_attention_heads");
  const keyHeads = config.num_key_value_heads == null ? heads : wholeOf(config, "num_key_value_heads");
  const width = wholeOf(config, "hidden_size");
  const headSize = config.head_dim == null ? width / heads : wholeOf(config, "head_dim");
  const layers = wholeOf(config, "num_hidden_layers");
  const entries: GgufEntries = new Map();
  const put = (key: string, value: number) => entries.set(`${name}.${key}`, u32(value));
  put("context_length", wholeOf(config, "max_position_embeddings"));
  put("embedding_length", width);
  put("block_count", layers);
  put("feed_forward_length", wholeOf(config, "intermediate_size"));
  put("attention.head_count", heads);
  put("attention.head_count_kv", keyHeads);
  entries.set(`${name}.attention.layer_norm_rms_epsilon`, f32(positiveOf(config, "rms_norm_eps", 1e-6)));
  put("vocab_size", wholeOf(config, "vocab_size"));
  put("rope.dimension_count", headSize);
  if (config.head_dim != null) {
    put("attention.key_length", headSize);
    put("attention.value_length", headSize);
  }
  const experts = architecture.experts ? addExperts(entries, config, name) : 0;
  const ropeFactors = addRope(entries, config, { prefix: name, headSize });
  warnOfWindow(config, warn);
  return {
    name,
    architecture,
    entries,
    layers,
    heads,
    keyHeads,
    experts,
    tied: config.tie_word_embeddings === true,
    ropeFactors,
  };
}

/** Keys of models whose every block has experts. Gives their number. */
function addExperts(entries: GgufEntries, config: Config, name: string): number {
  expectValue(config, "norm_topk_prob", true);
  expectValue(config, "decoder_sparse_step", 1);
  if (Array.isArray(config.mlp_only_layers) && config.mlp_only_layers.length > 0) {
    throw new UserError(
      "config.json: mlp_only_layers names layers without experts, which a GGUF file of this architecture cannot say",
      "write x.safetensors or a folder instead",
    );
  }
  const experts = wholeOf(config, "num_experts");
  entries.set(`${name}.expert_count`, u32(experts));
  entries.set(`${name}.expert_used_count`, u32(wholeOf(config, "num_experts_per_tok")));
  entries.set(`${name}.expert_feed_forward_length`, u32(wholeOf(config, "moe_intermediate_size")));
  return experts;
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
