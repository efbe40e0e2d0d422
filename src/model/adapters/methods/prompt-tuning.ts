/**
 * Prompt tuning: embedded tokens of no vocabulary stand before every sequence, and are all that is trained. Lester et
 * al., EMNLP 2021, https://arxiv.org/abs/2104.08691
 *
 *   h0 = [p_1 ... p_n, E x_1 ... E x_T]      at positions 0 to n + T - 1
 *
 * The loss counts what the tokens of the text predict, from the first one on. (PEFT's counts the first one too, which
 * the last virtual token predicts.) They begin as rows of the embedding, drawn, as the paper advises.
 */
import { adapterType } from "../declared.ts";
import { checkAhead, configAhead, sizesAhead, VIRTUAL_TOKENS } from "../virtual-tokens.ts";

const OPTIONS = {
  virtual_tokens: VIRTUAL_TOKENS,
  virtual_tokens_init: {
    type: "'vocabulary' | 'random'",
    default: "vocabulary",
    help: "begin as rows of the embedding, drawn, or as numbers of a normal distribution",
  },
} as const;

export const method = adapterType({
  name: "prompt-tuning",
  title: "Prompt tuning",
  about: "trains embedded virtual tokens that stand before every sequence",
  cite: "arXiv:2104.08691",
  options: OPTIONS,
  peftType: "PROMPT_TUNING",
  takes: [],
  parts: [],
  sharedParts: ["prompt_embeddings"],
  keys: { virtual_tokens: "num_virtual_tokens" },
  check: checkAhead,
  tensors: () => ({}),
  shared({ values: { virtual_tokens: tokens, virtual_tokens_init: init }, sizes, where }) {
    const { width } = sizesAhead(tokens, sizes, where);
    const begins = init === "random" ? { normal: 1 } : "tokens";
    return { prompt_embeddings: { shape: [tokens, width], begins } };
  },
  config({ values, sizes, where }) {
    const { layers, width, attention } = sizesAhead(values.virtual_tokens, sizes, where);
    return {
      ...configAhead(layers, width, attention.heads),
      prompt_tuning_init: values.virtual_tokens_init === "random" ? "RANDOM" : "SAMPLE_VOCAB",
      virtual_tokens_init: undefined,
    };
  },
  ahead: {
    tokens: ({ virtual_tokens }) => virtual_tokens,
    rows: ({ shared }) => shared("prompt_embeddings"),
  },
});
