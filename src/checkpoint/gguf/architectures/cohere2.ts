/** Cohere 2: one LayerNorm before both halves of a block; three of four layers see a window, and turn neighbours. */
import type { GgufArchitecture } from "../architecture.ts";
import { ATTENTION, DENSE } from "../block-names.ts";
import { expectFullEvery, layerTypes } from "../windows.ts";
import { positiveOf, wholeOf } from "../write/config.ts";

const EVERY = 4;

export const cohere2: GgufArchitecture = {
  name: "cohere2",
  type: "cohere2",
  class: "Cohere2ForCausalLM",
  block: { attn_norm: "input_layernorm", ...ATTENTION, ...DENSE },
  layerNorm: true,
  windows: true,
  defaults: { tied: true, eps: 1e-5 },

  write(config, put, { layers }) {
    expectFullEvery(config, layers, EVERY);
    put.u32("attention.sliding_window", wholeOf({ sliding_window: 4096, ...config }, "sliding_window"));
    put.f32("logit_scale", positiveOf(config, "logit_scale", 0.0625));
  },

  read: (keys, { layers }) => ({
    sliding_window: keys.required("attention.sliding_window"),
    layer_types: layerTypes(layers, EVERY),
    logit_scale: keys.decimal("logit_scale", 0.0625),
  }),
};
