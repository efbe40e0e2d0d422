/** OLMo 3: an OLMo 2 with a window in its files; every fourth layer sees all, and yarn is for these alone. */
import type { GgufArchitecture } from "../architecture.ts";
import { expectFullEvery, isFull, layerTypes } from "../windows.ts";
import { wholeOf } from "../write/config.ts";
import { fullRotary } from "../write/rotary-kinds.ts";
import { olmo2 } from "./olmo2.ts";

const EVERY = 4;

export const olmo3: GgufArchitecture = {
  ...olmo2,
  type: "olmo3",
  class: "Olmo3ForCausalLM",
  windows: true,
  claims: (keys) => (keys.number("attention.sliding_window") ?? 0) > 0,
  rotary: (config) => fullRotary(config),

  write(config, put, { layers }) {
    expectFullEvery(config, layers, EVERY);
    put.u32("attention.sliding_window", wholeOf({ sliding_window: 4096, ...config }, "sliding_window"));
    put.bools(
      "attention.sliding_window_pattern",
      Array.from({ length: layers }, (_, layer) => !isFull(layer, EVERY)),
    );
  },

  read: (keys, { layers }) => ({
    sliding_window: keys.required("attention.sliding_window"),
    layer_types: layerTypes(layers, EVERY),
  }),
};
