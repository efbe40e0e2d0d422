/** What Qwen2 and Qwen3 share: layers that see a window only, from one of them on. */
import type { ConfigReader } from "../config.ts";
import { type DecoderOwn, layerTypes } from "./decoder-config.ts";
import { rotary } from "./rotary.ts";

/**
 * With `use_sliding_window` the layers that `layer_types` names, or those from `max_window_layers` on, see the last
 * `sliding_window` tokens; without it none does. Throws UserError.
 */
export function qwenWindows(c: ConfigReader): Pick<DecoderOwn, "kinds" | "keys"> {
  if (!c.flag("use_sliding_window", false) || c.isNull("sliding_window")) return {};
  const window = c.count("sliding_window", 4096);
  const first = c.countOrNone("max_window_layers", 28);
  const given = c.words("layer_types");
  return {
    kinds(sizes) {
      const full = { rope: rotary(c, sizes) };
      const types = layerTypes(c, sizes.layers, (layer) => (layer >= first ? "sliding_attention" : "full_attention"));
      return types.map((type) => (type === "sliding_attention" ? { ...full, window } : full));
    },
    keys: { use_sliding_window: true, max_window_layers: first, ...(given ? { layer_types: given } : {}) },
  };
}
