/**
 * Prefix tuning: keys and values of its own stand before those of every layer. Li & Liang, ACL 2021,
 * https://arxiv.org/abs/2101.00190
 *
 *   attention(q, [K_l; k], [V_l; v])      K_l, V_l (n, kvHeads * headDim); the text is at positions n to n + T - 1
 *
 * As PEFT holds it without a projection: a row for each virtual token, with the keys and then the values of the first
 * layer, then those of the second. Keys are what attention takes, after any turning by position.
 */
import { splitColumns } from "../../../tensor/ops/columns.ts";
import { adapterType } from "../declared.ts";
import { checkAhead, configAhead, sizesAhead, VIRTUAL_TOKENS } from "../virtual-tokens.ts";

const OPTIONS = {
  virtual_tokens: VIRTUAL_TOKENS,
  prefix_std: {
    type: "number > 0",
    default: 0.02,
    help: "standard deviation of the keys and values that a prefix begins with",
    value: "S",
  },
} as const;

export const method = adapterType({
  name: "prefix-tuning",
  title: "Prefix tuning",
  about: "trains keys and values that stand before those of every sequence, in every layer",
  cite: "arXiv:2101.00190",
  options: OPTIONS,
  peftType: "PREFIX_TUNING",
  takes: [],
  parts: [],
  sharedParts: ["prompt_embeddings"],
  keys: { virtual_tokens: "num_virtual_tokens" },
  check: checkAhead,
  tensors: () => ({}),
  shared({ values: { virtual_tokens: tokens, prefix_std: std }, sizes, where }) {
    const { layers, attention } = sizesAhead(tokens, sizes, where);
    const width = attention.kvHeads * attention.headDim;
    return { prompt_embeddings: { shape: [tokens, 2 * layers * width], begins: { normal: std } } };
  },
  config({ values, sizes, where }) {
    const { layers, attention } = sizesAhead(values.virtual_tokens, sizes, where);
    return {
      ...configAhead(layers, attention.kvHeads * attention.headDim, attention.kvHeads),
      encoder_hidden_size: null,
      prefix_projection: false,
      prefix_std: undefined,
    };
  },
  ahead: {
    tokens: ({ virtual_tokens }) => virtual_tokens,
    keysValues({ rec, shared, sizes: { layers } }) {
      const table = shared("prompt_embeddings"); // (n, L [keys, values])
      const width = table.shape[1]! / (2 * layers);
      const parts = splitColumns(rec, table, Array<number>(2 * layers).fill(width));
      return Array.from({ length: layers }, (_, layer) => ({
        keys: parts[2 * layer]!,
        values: parts[2 * layer + 1]!,
      }));
    },
  },
});
