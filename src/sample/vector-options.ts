/** Options of `sample vectors`. */
import type { Options } from "../method/options.ts";

export const VECTORS = {
  count: { type: "number.integer >= 1", default: 16, help: "rows to draw", value: "N" },
  steps: {
    type: "1 <= number.integer <= 1000",
    default: 18,
    help: "levels from noise to a row; 1 for a generator of one step",
    value: "N",
  },
  sampler: {
    type: "'heun' | 'euler' | 'consistency'",
    default: "heun",
    help: "how levels follow each other; consistency, with noise anew in between, for --loss ict",
  },
  label: { type: "number.integer >= 0", help: "class of all rows; of no class when left out", value: "CLASS" },
  each_label: { type: "boolean", default: false, help: "the classes by turns" },
  ask: {
    type: "number.integer >= 0",
    help: "which class of its classifier an adapter of adapt nct is asked for; none when left out",
    value: "K",
  },
  guidance: {
    type: "number >= 0",
    default: 1,
    help: "how far a class draws: 0 not at all, 1 as learnt, above 1 further",
    value: "G",
  },
  texture: {
    type: "string",
    help: "denoiser of the levels below --switch-at, beside the model of those above",
    value: "MODEL",
  },
  switch_at: { type: "number > 0", needs: "texture", help: "level of noise; 0.5 when left out", value: "SIGMA" },
  coop: { type: "string", help: "denoiser whose answers are mixed with the model's at every level", value: "MODEL" },
  coop_share: { type: "0 <= number <= 1", needs: "coop", help: "its share; 0.5 when left out", value: "W" },
  coop_label: {
    type: "number.integer >= 0",
    needs: "coop",
    help: "class that it is asked for; of no class when left out",
    value: "CLASS",
  },
  draft: { type: "string", help: "rows that are refined by the last levels alone", value: "FILE" },
  start_step: {
    type: "number.integer >= 0",
    needs: "draft",
    help: "how many of --steps: 0 leaves drafts as they are, all of them forgets them; a fifth when left out",
    value: "N",
  },
  batch_size: { type: "number.integer >= 1", default: 256, help: "rows that are drawn at once", value: "N" },
} as const satisfies Options;
