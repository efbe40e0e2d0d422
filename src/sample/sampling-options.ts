/** The options of `sample` as decoding takes them. */
import type { Tokenizer } from "../data/tokenizer.ts";
import type { Values } from "../method/options.ts";
import type { GenerateOptions } from "../run/generating/generate.ts";
import type { SAMPLE } from "./options.ts";

export const samplingOf = (
  options: Values<typeof SAMPLE>,
  seed: number,
  tokenizer: Tokenizer,
): Omit<GenerateOptions, "keys" | "names" | "signal"> => ({
  maxTokens: options.max_tokens,
  stop: tokenizer.ends,
  temperature: options.temperature,
  topK: options.top_k,
  topP: options.top_p,
  minP: options.min_p,
  typical: options.typical_p,
  epsilon: options.epsilon,
  eta: options.eta,
  topNSigma: options.top_n_sigma,
  repetitionPenalty: options.repetition_penalty,
  seed,
});
