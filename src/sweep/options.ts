/** Options of `sweep`. */
import type { Options } from "../method/options.ts";

export const SWEEP = {
  vary: {
    type: "string[]",
    value: "NAME=VALUES",
    help: "an option of the script and what it may be: a,b,c or 1e-5..1e-3, with :log, :int or :N; also --NAME VALUES",
  },
  fixed: { type: "string[]", value: "WORD", help: "a word that all trials have; also what stands after --" },
  measure: {
    type: "string[]",
    value: "WORD",
    help: "a word of a command that measures {out}; also what stands after a second --",
  },
  metric: {
    type: "string[]",
    required: true,
    value: "NAME",
    help: "what is made better, a key of --json: NAME, NAME:min or NAME:max; several are told as a Pareto front",
  },
  search: { type: "string", kind: "search", default: "grid", help: "which points are tried" },
  budget: {
    type: "number.integer >= 1",
    value: "N",
    help: "points that are tried; a whole grid, else 16, if left out",
  },
  seeds: { type: "1 <= number.integer <= 1000", default: 1, value: "N", help: "seeds of every point, from --seed on" },
  jobs: { type: "1 <= number.integer <= 64", default: 1, value: "N", help: "trials that run at a time" },
  trial: {
    type: "string",
    value: "I/N",
    help: "make the I-th of N shares of the points alone, in an array job; grid and random",
  },
} as const satisfies Options;
