/** Mistral: a llama in its files. A few older ones say mistral. */
import type { GgufArchitecture } from "../architecture.ts";
import { llama } from "./llama.ts";

export const mistral: GgufArchitecture = {
  ...llama,
  type: "mistral",
  class: "MistralForCausalLM",
  claims: () => false, // of the name llama
};

/** As older files name it. */
export const olderMistral: GgufArchitecture = {
  ...mistral,
  name: "mistral",
  claims: () => true,
  // Mistral's config has a window of 4096 unless it says that there is none.
  read: (keys) => ({ sliding_window: keys.number("attention.sliding_window") ?? null }),
};
