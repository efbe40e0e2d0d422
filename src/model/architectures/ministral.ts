/** Ministral: Mistral with a window in some layers only. https://mistral.ai/news/ministraux */
import type { Architecture } from "../architecture.ts";
import { denseDecoder } from "../blocks/causal-decoder.ts";
import { type DecoderConfig, decoderConfig, layerTypes } from "../blocks/decoder-config.ts";
import { rotary } from "../blocks/rotary.ts";
import { ConfigReader } from "../config.ts";

export const method: Architecture<DecoderConfig> = {
  name: "ministral",
  title: "Ministral",
  about: "Mistral with a window in some layers only",
  cite: "https://mistral.ai/news/ministraux",
  options: {},
  className: "MinistralForCausalLM",
  ...denseDecoder,

  config(json, where) {
    const c = new ConfigReader(json, where);
    return decoderConfig(json, where, {
      tied: false,
      kinds(sizes) {
        const rope = rotary(c, sizes);
        // Null means no window anywhere.
        const window = json.sliding_window === null ? undefined : c.count("sliding_window", 4096);
        const types = layerTypes(c, sizes.layers, () => (window ? "sliding_attention" : "full_attention"));
        return types.map((type) => (type === "sliding_attention" && window ? { window, rope } : { rope }));
      },
    });
  },
};
