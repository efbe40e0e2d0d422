/** Options of merges that learn their coefficients from data. */
import type { Options } from "../../method/options.ts";

export const TUNING = {
  tune_data: {
    type: "string[]",
    value: "NAME=FILE",
    help: "rows from which a method such as adamerging learns coefficients; once for each task, in the order of the models",
  },
  tune_columns: {
    type: "string",
    value: "NAME=COLUMN",
    needs: "tune_data",
    help: "which columns of --tune-data stand for which keys of a row",
  },
  tune_steps: {
    type: "number.integer >= 0",
    value: "N",
    help: "steps of learning; the method's own number when left out",
  },
  tune_rate: {
    type: "number > 0",
    value: "RATE",
    needs: "tune_data",
    help: "learning rate of the coefficients; the method's own when left out",
  },
  tune_batch: {
    type: "number.integer >= 1",
    default: 16,
    value: "N",
    needs: "tune_data",
    help: "rows of each task in a step",
  },
  tune_weights: {
    type: "'equal' | 'pareto'",
    default: "equal",
    needs: "tune_data",
    help: "how tasks count in a step: alike, or weighed by a linear program so that none is sacrificed",
  },
  tune_guide: {
    type: "string",
    value: "NAME=FILE",
    with: { tune_weights: "pareto" },
    help: "rows whose loss guides the weights of pareto, such as held-out ones of the task that counts",
  },
  tune_length: {
    type: "number.integer >= 2",
    value: "N",
    needs: "tune_data",
    help: "most tokens of a row; the model's own limit, at most 1024, when left out",
  },
  tune_temperature: {
    type: "number > 0",
    value: "T",
    needs: "tune_data",
    help: "divides the cosines of pairs under --loss infonce; 0.05 when left out",
  },
  tune_offload: {
    type: "boolean",
    default: false,
    decides: "nothing",
    needs: "tune_data",
    help: "read base and models again in every step, for what does not fit into the memory of the GPU",
  },
  tune_own: {
    type: "string[]",
    value: "GLOB",
    help: "tensors that stay each model's own, such as heads; by themselves those outside of blocks whose shapes differ",
  },
  coefficients: {
    type: "string",
    value: "FILE",
    help: "merge_coefficients.json of an earlier merge, in place of learning",
  },
} as const satisfies Options;
