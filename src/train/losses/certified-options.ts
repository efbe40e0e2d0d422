/** Options of `train --certified`. */
import type { Options } from "../../method/options.ts";

const needs = "certified";

export const CERTIFIED = {
  certified: {
    type: "'ibp'",
    help: "train a classifier by bounds of its outputs for all inputs of a ball: by intervals (ibp)",
    value: "HOW",
  },
  certified_epsilon: {
    type: "number >= 0",
    needs,
    help: "radius of the ball: how far each input may be from what it is; a tenth of their range when left out",
    value: "R",
  },
  certified_range: {
    type: "number[]",
    needs,
    help: "least and largest value that an input may take, 0,1; those of the data when left out",
    value: "LO,HI",
  },
  certified_start: {
    type: "0 <= number <= 1",
    default: 0.02,
    needs,
    help: "share of the steps at first in which the radius is 0",
    value: "F",
  },
  certified_warmup: {
    type: "0 <= number <= 1",
    default: 0.3,
    needs,
    help: "share of the steps after them over which it rises",
    value: "F",
  },
  certified_lambda: {
    type: "number >= 0",
    default: 0.5,
    needs,
    help: "weight of the terms for tight bounds and balanced units at the beginning of the warm-up; 0: none",
    value: "L",
  },
} as const satisfies Options;
