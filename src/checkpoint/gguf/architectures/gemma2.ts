/** Gemma 2: gains of 1 + w around both halves of a block, soft caps, and a window in every other layer. */
import { UserError } from "../../../errors.ts";
import type { GgufArchitecture } from "../architecture.ts";
import { ATTENTION, DENSE, NORMS_AROUND } from "../block-names.ts";
import { expectFullEvery, layerTypes } from "../windows.ts";
import { positiveOf, wholeOf } from "../write/config.ts";
import { expectQueryScale, queryScalar } from "../write/query-scale.ts";

const EVERY = 2;
/** Of 27B, the only one that llama.cpp scales queries of by the width. */
const LARGE = 46;
const CAPS = { attn_logit_softcapping: 50, final_logit_softcapping: 30 } as const;

export const gemma2: GgufArchitecture = {
  name: "gemma2",
  type: "gemma2",
  class: "Gemma2ForCausalLM",
  block: { ...NORMS_AROUND, ...ATTENTION, ...DENSE },
  plusOne: true,
  gelu: true,
  windows: true,
  defaults: { tied: true, headSize: 256, keyHeads: 4 },

  write(config, put, sizes) {
    expectFullEvery(config, sizes.layers, EVERY);
    expectQueryScale(config, sizes, LARGE);
    put.u32("attention.sliding_window", wholeOf({ sliding_window: 4096, ...config }, "sliding_window"));
    for (const [key, otherwise] of Object.entries(CAPS)) {
      if (config[key] === null) {
        throw new UserError(
          `config.json: ${key} is null, and llama.cpp caps the scores and logits of every gemma2`,
          "write x.safetensors or a folder instead",
        );
      }
      put.f32(key, positiveOf(config, key, otherwise));
    }
  },

  read: (keys, sizes) => ({
    sliding_window: keys.required("attention.sliding_window"),
    layer_types: layerTypes(sizes.layers, EVERY),
    ...Object.fromEntries(Object.entries(CAPS).map(([key, otherwise]) => [key, keys.decimal(key, otherwise)])),
    query_pre_attn_scalar: queryScalar(sizes, LARGE),
  }),
};
