/** SmolLM3: Llama whose every fourth layer knows no positions, which llama.cpp takes for granted. */
import { UserError } from "../../../errors.ts";
import type { GgufArchitecture } from "../architecture.ts";
import { LLAMA } from "../block-names.ts";
import { expectAllFull, isFull } from "../windows.ts";
import { expectValue } from "../write/config.ts";

const EVERY = 4;

export const smollm3: GgufArchitecture = {
  name: "smollm3",
  type: "smollm3",
  class: "SmolLM3ForCausalLM",
  block: LLAMA,
  reordered: true,
  windows: true,
  defaults: { tied: true, keyHeads: 4, theta: 2e6 },

  write(config, _, { layers }) {
    expectValue(config, "use_sliding_window", false);
    expectAllFull(config, layers);
    const turned = config.no_rope_layers;
    if (!Array.isArray(turned)) return expectValue(config, "no_rope_layer_interval", EVERY);
    const other = Array.from({ length: layers }, (_, layer) => layer).find(
      (layer) => (turned[layer] === 0) !== isFull(layer, EVERY),
    );
    if (other === undefined) return;
    throw new UserError(
      `config.json: no_rope_layers has ${String(turned[other])} for layer ${other}; in a GGUF file of this ` +
        `architecture every ${EVERY}. layer knows no positions, and no other`,
      "write x.safetensors or a folder instead",
    );
  },

  read: (_, { layers }) => ({
    use_sliding_window: false,
    no_rope_layer_interval: EVERY,
    no_rope_layers: Array.from({ length: layers }, (_, layer) => (isFull(layer, EVERY) ? 0 : 1)),
  }),
};
