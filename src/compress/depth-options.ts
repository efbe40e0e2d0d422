/** Options of `compress depth`. */
import type { Options } from "../method/options.ts";
import { HELD } from "../run/held-options.ts";
import { CALIBRATION, WRITTEN } from "./options.ts";

export const DEPTH = {
  speedup: {
    type: "number >= 1",
    help: "how much faster a pass is to be: layers / SPEEDUP stay, rounded down",
    value: "R",
  },
  drop: { type: "number.integer >= 1", help: "layers that go, in the place of --speedup", value: "K" },
  layers: {
    type: "number.integer >= 0[]",
    help: "the layers that stay, from 0, in the place of a method: 0,1,3",
    value: "LIST",
  },
  calibration: { ...CALIBRATION.calibration, help: "rows that methods cosine and loss read, name=path for each group" },
  batch_size: CALIBRATION.batch_size,
  columns: CALIBRATION.columns,
  tokenizer: CALIBRATION.tokenizer,
  template: CALIBRATION.template,
  turns: CALIBRATION.turns,
  max_length: CALIBRATION.max_length,
  token_cache: CALIBRATION.token_cache,
  overflow: CALIBRATION.overflow,
  dtype: HELD.dtype,
  shards: WRITTEN.shards,
} as const satisfies Options;
