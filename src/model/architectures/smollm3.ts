/** SmolLM3: Llama whose every fourth layer knows no positions (NoPE). https://huggingface.co/blog/smollm3 */
import type { Architecture } from "../architecture.ts";
import { denseDecoder } from "../blocks/causal-decoder.ts";
import { type DecoderConfig, decoderConfig, layerTypes, perLayer } from "../blocks/decoder-config.ts";
import { rotary } from "../blocks/rotary.ts";
import { ConfigReader } from "../config.ts";

export const method: Architecture<DecoderConfig> = {
  name: "smollm3",
  title: "SmolLM3",
  about: "Llama whose every fourth layer knows no positions",
  cite: "https://huggingface.co/blog/smollm3",
  options: {},
  className: "SmolLM3ForCausalLM",
  ...denseDecoder,

  config(json, where) {
    const c = new ConfigReader(json, where);
    const [attention, mlp] = [c.flag("attention_bias", false), c.flag("mlp_bias", false)];
    const windowed = c.flag("use_sliding_window", false) && c.has("sliding_window");
    const every = c.number("no_rope_layer_interval", 4, { least: 1 });
    const layers = c.count("num_hidden_layers");
    // 1 means a layer with rotary positions.
    const turned = perLayer(c, "no_rope_layers", layers, (layer) => ((layer + 1) % every === 0 ? 0 : 1));
    return decoderConfig(json, where, {
      bias: { qkv: attention, o: attention, mlp },
      tied: true,
      theta: 2e6,
      defaults: { num_key_value_heads: 4, max_position_embeddings: 32_768 },
      kinds(sizes) {
        const rope = rotary(c, { ...sizes, theta: 2e6 });
        const types = layerTypes(c, layers, (layer) =>
          windowed && turned[layer] === 0 ? "sliding_attention" : "full_attention",
        );
        const window = windowed ? { window: c.count("sliding_window") } : {};
        return types.map((type, layer) => ({
          ...(turned[layer] ? { rope } : {}),
          ...(type === "sliding_attention" ? window : {}),
        }));
      },
      keys: { attention_bias: attention, mlp_bias: mlp, no_rope_layers: turned, no_rope_layer_interval: every },
    });
  },
};
