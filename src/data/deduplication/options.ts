/** Options of `data dedupe`. */
import type { Options } from "../../method/options.ts";
import { COMPARED } from "../decontamination/options.ts";

export const DEDUPE = {
  by: {
    type: "'near' | 'exact'",
    default: "near",
    help: "rows of alike n-grams (MinHash), or of the same words and signs alone",
  },
  similarity: {
    type: "0 < number < 1",
    default: 0.7,
    value: "J",
    help: "rows are alike whose n-grams have this Jaccard index, as far as --permutations can tell",
  },
  ngram: {
    type: "1 <= number.integer <= 1000",
    default: 5,
    value: "N",
    help: "tokens of an n-gram; words and signs are tokens",
  },
  permutations: {
    type: "16 <= number.integer <= 4096",
    default: 256,
    value: "N",
    help: "hash functions of a row's signature; the index is estimated within 1 / sqrt(N)",
  },
  signature_bits: {
    type: "'8' | '16' | '32'",
    default: "16",
    value: "BITS",
    help: "bits that are kept of each; at 8 the estimate is hardly worse",
  },
  against: {
    type: "string[]",
    value: "FILE",
    help: "rows that count as seen already, and are not written",
  },
  ...COMPARED,
  part: { ...COMPARED.part, default: "all" },
} as const satisfies Options;
