/** Options of `data demos`. */
import type { Options } from "../../method/options.ts";

export const DEMOS = {
  bank: { type: "string", value: "FILE", help: "rows that are shown; the rows themselves when left out" },
  demo_count: { type: "0 <= number.integer <= 100", default: 4, value: "K", help: "demonstrations before a prompt" },
  retriever: {
    type: "string",
    default: "bm25",
    value: "NAME",
    help: "which: bm25, those that share rare words with the prompt; random; or a model whose hidden states are alike",
  },
  separator: { type: "string", default: "\n\n", value: "TEXT", help: "text behind a demonstration" },
} as const satisfies Options;

/** Options of `train` that show demonstrations before its rows. */
export const TRAIN_DEMOS = {
  demos: {
    type: "string",
    value: "FILE",
    help: "rows that are shown, as data demos does, before every prompt of training and held-out rows",
  },
  demo_count: { ...DEMOS.demo_count, needs: "demos", help: "most of them before a prompt, as many as fit" },
  demo_retriever: { ...DEMOS.retriever, needs: "demos" },
  demo_separator: { ...DEMOS.separator, needs: "demos" },
} as const satisfies Options;
