/** Options of `distill self-specialize`. */
import type { Options } from "../../method/options.ts";
import { LOAD_IN } from "../../run/held-options.ts";

export const SPECIALIZE = {
  seeds: { type: "string", required: true, help: "a few rows of the domain: prompts with completions", value: "FILE" },
  corpus: {
    type: "string[]",
    help: "texts of the domain, among which answers look; none: from the model alone",
    value: "FILE",
  },
  size: { type: "number.integer >= 1", default: 100, help: "new rows that are wanted", value: "N" },
  attempts: {
    type: "number.integer >= 1",
    help: "most instructions that are sampled; 10 for each row when left out",
    value: "N",
  },
  shown: { type: "number.integer >= 1", default: 4, help: "seeds that a prompt shows", value: "N" },
  passages: {
    type: "number.integer >= 0",
    default: 3,
    help: "texts of the corpus that an answer is shown",
    value: "K",
  },
  passage_share: {
    type: "0 <= number <= 1",
    default: 0,
    help: "share of the rows whose prompt keeps these texts",
    value: "SHARE",
  },
  temperature: { type: "number >= 0", default: 0.7, help: "of instructions and answers; 0: greedy", value: "T" },
  most_alike: {
    type: "0 < number <= 1",
    default: 0.7,
    help: "F1 of the longest common subsequence with another instruction from which on one is left out",
    value: "F",
  },
  instruction_tokens: { type: "number.integer >= 1", default: 64, help: "most tokens of an instruction", value: "N" },
  answer_tokens: { type: "number.integer >= 1", default: 256, help: "most tokens of an answer", value: "N" },
  ask: { type: "string", default: "Instruction: ", help: "what stands before an instruction", value: "TEXT" },
  reply: { type: "string", default: "\nResponse: ", help: "what stands between it and its answer", value: "TEXT" },
  end: { type: "string", default: "\n\n", help: "what ends an answer", value: "TEXT" },
  given: { type: "string", default: "Text: ", help: "what stands before a text of the corpus", value: "TEXT" },
  batch_size: { type: "number.integer >= 1", default: 16, help: "prompts at once", value: "N" },
  tokenizer: { type: "string", help: "tokenizer of a model that has none", value: "MODEL" },
  load_in: LOAD_IN,
} as const satisfies Options;
