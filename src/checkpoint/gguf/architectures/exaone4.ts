/**
 * EXAONE 4: norms after the halves of a block alone, RMSNorm on every head of q and k. llama.cpp gives a window to the
 * model of 64 layers alone, three of whose four layers have one.
 */
import type { JsonObject } from "../../../json.ts";
import type { GgufArchitecture } from "../architecture.ts";
import { ATTENTION, DENSE, NORMS_AFTER, QK_NORM } from "../block-names.ts";
import { expectAllFull, expectFullEvery, isFull, layerTypes } from "../windows.ts";
import { expectValue, wholeOf } from "../write/config.ts";

const EVERY = 4;
const LARGE = 64;

export const exaone4: GgufArchitecture = {
  name: "exaone4",
  type: "exaone4",
  class: "Exaone4ForCausalLM",
  block: { ...NORMS_AFTER, ...ATTENTION, ...QK_NORM, ...DENSE },
  factors: true,
  windows: true,
  defaults: { eps: 1e-5 },

  write(config, put, { layers }) {
    if (layers !== LARGE) {
      expectAllFull(config, layers);
      expectValue(config, "sliding_window");
      return;
    }
    expectFullEvery(config, layers, EVERY);
    put.u32("attention.sliding_window", wholeOf(config, "sliding_window"));
    put.bools(
      "attention.sliding_window_pattern",
      Array.from({ length: layers }, (_, layer) => !isFull(layer, EVERY)),
    );
  },

  read(keys, { layers }): JsonObject {
    if (layers !== LARGE) return { sliding_window: null };
    return {
      sliding_window: keys.number("attention.sliding_window") ?? 4096,
      layer_types: layerTypes(layers, EVERY),
    };
  },
};
