/** Options of `merge` that only a search reads. */
import { READING } from "../../data/options.ts";
import type { Options } from "../../method/options.ts";

/** Options of reading rows, which only a search has use for. */
const reading = <const O extends Options>(options: O): O => {
  const needing = Object.entries(options).map(([name, spec]) => [name, { ...spec, needs: "search" }]);
  return Object.fromEntries(needing) as O;
};

export const SEARCH = {
  search: { type: "string", kind: "search", help: "search for the parameters whose merge is best on --data" },
  budget: { type: "number.integer >= 1", needs: "search", value: "N", help: "merges that are tried" },
  data: { type: "string[]", needs: "search", value: "FILE", help: "rows to measure on, name=path for each group" },
  objective: {
    type: "string[]",
    needs: "search",
    value: "METRIC",
    help: "what is made better: METRIC, METRIC@GROUP or METRIC@GROUP=WEIGHT; those of --metric, or loss, when left out",
  },
  metric: { type: "string[]", kind: "metric", needs: "search", help: "metrics of --objective, with their options" },
  forget_group: {
    type: "string",
    default: "forget",
    needs: "search",
    value: "NAME",
    help: "the group to be forgotten, for metrics of unlearning",
  },
  holdout_group: {
    type: "string",
    default: "holdout",
    needs: "search",
    value: "NAME",
    help: "the group that was never learned, for metrics of unlearning",
  },
  pareto: {
    type: "boolean",
    default: false,
    needs: "search",
    help: "every objective by itself: the merges that no other beats in all of them",
  },
  search_space: {
    type: "string[]",
    needs: "search",
    value: "RANGE",
    help: "what varies: weight=0:1, lambda=0.1:10:log, weight:mlp=0:1, normalize=true|false; the weights when left out",
  },
  layer_granularity: {
    type: "number.integer >= 0",
    default: 0,
    needs: "search",
    value: "N",
    help: "layers that share their values; 0: all",
  },
  smooth: {
    type: "boolean",
    default: false,
    needs: "layer_granularity",
    help: "values of groups of layers are the anchors of a gradient over depth",
  },
  trials: {
    type: "string[]",
    needs: "search",
    value: "FILE",
    help: "every trial as a JSON line, to go on from; those of an array job's workers too",
  },
  trial: {
    type: "string",
    needs: "search",
    value: "I/N",
    help: "make the I-th of N shares of the trials alone, into --trials; searches that hear no scores",
  },
  recipes: {
    type: "string",
    needs: "search",
    writes: "text",
    value: "PLACE",
    help: "file of the best recipe; with --pareto the folder of all on the front",
  },
  keep_models: {
    type: "string",
    default: "8GB",
    needs: "search",
    decides: "nothing",
    value: "SIZE",
    help: "models stay in the GPU's memory up to this size; larger ones are read for every trial",
  },
  batch_size: {
    type: "number.integer >= 1",
    default: 16,
    needs: "search",
    value: "N",
    help: "rows that are run at once",
  },
  max_tokens: {
    type: "number.integer >= 1",
    default: 256,
    needs: "search",
    value: "N",
    help: "most tokens of a generated answer",
  },
  stop: {
    type: "string[]",
    needs: "search",
    value: "TEXT",
    help: "texts before which a generated answer ends, each its own --stop",
  },
  ...reading(READING),
} as const satisfies Options;
