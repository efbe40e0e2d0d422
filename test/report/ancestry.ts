/** A checkpoint that was merged of two, one of which was trained here, for the tests of lineage. */
import type { Ancestry } from "../../src/report/sources/read-sources.ts";

const step = { version: "1", seed: 0, time: "" };

export const ancestry: Ancestry = {
  ref: "merged/",
  lineage: [
    {
      ...step,
      ...{
        script: "train",
        options: { data: "rows.jsonl", lr: 0.1, steps: 20, batch_size: 4, warmup: 0.1 },
        run: "aaaaaaaaaaaa",
      },
      inputs: [{ ref: "hf:org/base", role: "model", revision: "main" }],
    },
    {
      ...step,
      ...{ script: "merge", method: "ties", options: { density: 0.5 }, run: "bbbbbbbbbbbb" },
      inputs: [
        { ref: "run:aaaaaaaaaaaa", role: "model" },
        { ref: "hf:org/other", role: "model" },
        { ref: "hf:org/base", role: "base" },
      ],
    },
  ],
};
