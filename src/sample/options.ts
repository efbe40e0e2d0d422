/** Options of `sample`. */
import { READING } from "../data/options.ts";
import type { Options } from "../method/options.ts";
import { EXPERT_STORE } from "../run/expert-store.ts";
import { EFFORT } from "../run/generating/effort.ts";
import { HELD } from "../run/held-options.ts";

export const SAMPLE = {
  prompt: { type: "string[]", short: "p", help: "a prompt; may be given several times", value: "TEXT" },
  prompts: { type: "string", help: "rows of prompt or messages (JSONL, - for stdin)", value: "FILE" },
  chat: {
    type: "boolean",
    default: false,
    help: "a prompt is what a user says, and the chat template applies; without a prompt a conversation in turns",
  },
  system: { type: "string", help: "system message of a chat", value: "TEXT" },
  max_tokens: { type: "number.integer >= 1", default: 128, short: "m", help: "most tokens of an answer", value: "N" },
  temperature: { type: "number >= 0", default: 0, short: "t", help: "0: always the most likely token", value: "T" },
  top_k: { type: "number.integer >= 0", default: 0, help: "only the k most likely tokens; 0: all", value: "K" },
  top_p: { type: "0 < number <= 1", default: 1, help: "only the most likely tokens that together reach p", value: "P" },
  min_p: {
    type: "0 <= number <= 1",
    default: 0,
    help: "only tokens with this share of the largest probability",
    value: "P",
  },
  typical_p: {
    type: "0 < number <= 1",
    default: 1,
    help: "only tokens whose surprise is nearest to the entropy and that together reach p",
    value: "P",
  },
  epsilon: { type: "0 <= number < 1", default: 0, help: "only tokens of at least this probability", value: "P" },
  eta: {
    type: "0 <= number < 1",
    default: 0,
    help: "only tokens of at least the smaller of this and its root times exp(-entropy)",
    value: "P",
  },
  top_n_sigma: {
    type: "number >= 0",
    default: 0,
    help: "only logits within so many standard deviations of the largest; 0: all",
    value: "N",
  },
  repetition_penalty: { type: "number > 0", default: 1, help: "above 1: tokens seen become less likely", value: "X" },
  effort: {
    type: EFFORT,
    help: "ask for this share of the usual length, as align --effort-range trains it",
    value: "SHARE",
  },
  stop: { type: "string[]", help: "text that ends an answer; may be given several times", value: "TEXT" },
  with: {
    type: "string[]",
    help: "another model that writes together with the first; may be given several times",
    value: "MODEL",
  },
  ensemble: {
    type: "'universal' | 'bayes' | 'equal' | 'switch'",
    default: "universal",
    needs: "with",
    help: "how several models write together: their probabilities weighed as the best constant mixtures, or the models, foretold the text so far, or alike; switch: one after the other",
  },
  ensemble_discount: {
    type: "0 < number <= 1",
    default: 1,
    with: { ensemble: ["universal", "bayes"] },
    help: "what a token counts for the weights one token later, as a power; 1: as much as the new one",
    value: "X",
  },
  switch_at: {
    type: "number.integer >= 0[]",
    with: { ensemble: ["switch"] },
    help: "tokens of an answer after which each model of --with goes on",
    value: "N",
  },
  cascade: {
    type: "string",
    help: "two models: the weak one writes where it is sure, the strong one where it is not; all arguments are prompts",
    value: "WEAK,STRONG",
  },
  conf: {
    type: "'variance' | 'entropy'",
    default: "variance",
    needs: "cascade",
    help: "how sure the weak model is: variance of its probabilities, or what their entropy lacks, each from 0 to 1",
  },
  alpha: {
    type: "number >= 0",
    default: 1,
    needs: "cascade",
    help: "power of that: above 1 the strong model writes more, 0 never",
    value: "A",
  },
  cascade_by: {
    type: "'choose' | 'average'",
    default: "choose",
    needs: "cascade",
    help: "one of the two by chance for each token, or the mean of their probabilities",
  },
  draft: {
    type: "string",
    help: "a small model of the same vocabulary that writes ahead; the model reads what it wrote at once and keeps what it would have written itself, so answers are its own and come sooner",
    value: "MODEL",
  },
  draft_tokens: {
    type: "1 <= number.integer <= 64",
    default: 4,
    needs: "draft",
    help: "tokens that it writes ahead",
    value: "K",
  },
  skip_layers: {
    type: "string",
    help: "the first model reads prompts with all layers and writes without some: uniform:2 keeps every second one or so for twice the speed; or the layers that write, from 0: 0,2,3",
    value: "HOW",
  },
  routers: {
    type: "string",
    help: "file of train routers: says for each prompt which layers of the first model run, and which run twice",
    value: "FILE",
  },
  router_dial: {
    type: "-1 <= number <= 1",
    default: -0.5,
    needs: "routers",
    help: "from skipping (-1) over what the routers say (-0.5) and running all (0.5) to running all twice (1)",
    value: "P",
  },
  task: {
    type: "number.integer >= 0",
    help: "of an adapter that mixes its parts by tasks (poly, mhr): the task, from 0, as whose rows it writes",
    value: "T",
  },
  samples: { type: "number.integer >= 1", default: 1, help: "answers to each prompt", value: "N" },
  batch_size: { type: "number.integer >= 1", default: 8, help: "answers that are made at once", value: "N" },
  columns: READING.columns,
  tokenizer: READING.tokenizer,
  template: READING.template,
  ...HELD,
  ...EXPERT_STORE,
} as const satisfies Options;
