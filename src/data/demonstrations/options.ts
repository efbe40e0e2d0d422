/** Options of `data demos`. */
import type { Options } from "../../method/options.ts";

export const DEMOS = {
  bank: { type: "string", value: "FILE", help: "rows that are shown; the rows themselves when left out" },
  demo_count: { type: "0 <= number.integer <= 100", default: 4, value: "K", help: "demonstrations before a prompt" },
  retriever: {
    type: "'bm25' | 'random'",
    default: "bm25",
    help: "which: those that share rare words with the prompt, or any",
  },
  separator: { type: "string", default: "\n\n", value: "TEXT", help: "text behind a demonstration" },
} as const satisfies Options;
