/** Granite 3: Llama with multipliers of the embedding, the scores, the branches and the logits. */
import type { GgufArchitecture } from "../architecture.ts";
import { positiveOf } from "../write/config.ts";
import { llama } from "./llama.ts";

/** Keys of the file by those of config.json. */
const MULTIPLIERS = {
  embedding_multiplier: "embedding_scale",
  attention_multiplier: "attention.scale",
  residual_multiplier: "residual_scale",
  logits_scaling: "logit_scale",
} as const;

export const granite: GgufArchitecture = {
  ...llama,
  name: "granite",
  type: "granite",
  class: "GraniteForCausalLM",

  write(config, put) {
    for (const [key, stored] of Object.entries(MULTIPLIERS)) put.f32(stored, positiveOf(config, key, 1));
  },

  read: (keys) =>
    Object.fromEntries(Object.entries(MULTIPLIERS).map(([key, stored]) => [key, keys.decimal(stored, 1)])),
};
