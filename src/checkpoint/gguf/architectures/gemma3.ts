/** Gemma 3, its text part: Gemma 2 with norms of q and k in place of caps; five of six layers see a window. */
import type { GgufArchitecture } from "../architecture.ts";
import { ATTENTION, DENSE, NORMS_AROUND, QK_NORM } from "../block-names.ts";
import { expectFullEvery, layerTypes } from "../windows.ts";
import { expectValue, wholeOf } from "../write/config.ts";
import { expectQueryScale, queryScalar } from "../write/query-scale.ts";
import { fullRotary } from "../write/rotary-kinds.ts";

const EVERY = 6;
/** Of 27B, the only one that llama.cpp scales queries of by the width. */
const LARGE = 62;
/** Rotary base of the layers with a window, which llama.cpp takes for granted. */
const LOCAL = 10_000;

export const gemma3: GgufArchitecture = {
  name: "gemma3",
  type: "gemma3_text",
  class: "Gemma3ForCausalLM",
  block: { ...NORMS_AROUND, ...ATTENTION, ...QK_NORM, ...DENSE },
  plusOne: true,
  gelu: true,
  windows: true,
  defaults: { tied: true, headSize: 256, keyHeads: 4, theta: 1e6 },
  rotary: (config) => fullRotary(config, LOCAL),

  write(config, put, sizes) {
    expectFullEvery(config, sizes.layers, EVERY);
    expectQueryScale(config, sizes, LARGE);
    expectValue(config, "rope_local_base_freq", LOCAL);
    expectValue(config, "attn_logit_softcapping");
    expectValue(config, "final_logit_softcapping");
    expectValue(config, "use_bidirectional_attention", false);
    put.u32("attention.sliding_window", wholeOf({ sliding_window: 4096, ...config }, "sliding_window"));
    put.f32("rope.freq_base_swa", LOCAL);
  },

  read: (keys, sizes) => ({
    sliding_window: keys.required("attention.sliding_window"),
    layer_types: layerTypes(sizes.layers, EVERY),
    rope_local_base_freq: keys.decimal("rope.freq_base_swa", LOCAL),
    query_pre_attn_scalar: queryScalar(sizes, LARGE),
  }),
};
