/**
 * Hunyuan dense: Llama with an RMSNorm on every head of q and k after the rotation. The rotary base that `alpha`
 * enlarges is stored as it comes out, so that a file gives back the same positions with another key.
 */
import { UserError } from "../../../errors.ts";
import { isObject } from "../../../json.ts";
import type { GgufArchitecture } from "../architecture.ts";
import { LLAMA } from "../block-names.ts";
import { type Config, positiveOf, wholeOf } from "../write/config.ts";

/** What a config's scaling makes of the base: base * alpha^(D / (D - 2)). */
function enlarged(config: Config): Config {
  const scaling = [config.rope_scaling, config.rope_parameters].find((one) => isObject(one));
  if (!isObject(scaling) || (scaling.rope_type ?? scaling.type) !== "dynamic") return config;
  if (!(typeof scaling.alpha === "number" && scaling.alpha > 0)) {
    throw new UserError(
      "config.json: dynamic rotary scaling without alpha depends on the length of the text, which a GGUF file cannot say",
      "write x.safetensors or a folder instead",
    );
  }
  const size =
    config.head_dim == null
      ? wholeOf(config, "hidden_size") / wholeOf(config, "num_attention_heads")
      : wholeOf(config, "head_dim");
  const base = positiveOf({ rope_theta: scaling.rope_theta ?? config.rope_theta ?? null }, "rope_theta", 10_000);
  const { rope_scaling: _, rope_parameters: __, ...rest } = config;
  return { ...rest, rope_theta: base * scaling.alpha ** (size / (size - 2)) };
}

export const hunyuanDense: GgufArchitecture = {
  name: "hunyuan-dense",
  type: "hunyuan_v1_dense",
  class: "HunYuanDenseV1ForCausalLM",
  block: { ...LLAMA, attn_q_norm: "self_attn.query_layernorm", attn_k_norm: "self_attn.key_layernorm" },
  defaults: { eps: 1e-5 },
  rotary: enlarged,
};
