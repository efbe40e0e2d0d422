/** Options of the `adapt` script's sub-commands. */
import { dtypeWord } from "../checkpoint/dtype.ts";
import type { Options } from "../method/options.ts";

const DTYPE = {
  dtype: {
    type: "'f32' | 'bf16' | 'f16'",
    default: "f32",
    spelling: dtypeWord,
    help: "type of the adapter's matrices",
  },
} as const satisfies Options;

export const COMBINE = {
  weight: {
    type: "number[]",
    value: "W",
    help: "weight of each adapter; 1 for each when left out, which adds them up",
  },
  compat: {
    type: "'none' | 'peft'",
    default: "none",
    help: "peft: count an adapter's scale twice where PEFT does, and do not rescale what dare keeps",
  },
  ...DTYPE,
} as const satisfies Options;

export const RESIZE = {
  rank: { type: "number.integer >= 1", value: "N", help: "rank of every module; a larger one is filled up with zeros" },
  energy: {
    type: "0 < number <= 1",
    value: "SHARE",
    help: "smallest rank of each module that keeps this share of its change's squares",
  },
  ...DTYPE,
} as const satisfies Options;
