/** Options of `evaluate swiss`. */
import type { Options } from "../../method/options.ts";

export const SWISS = {
  metric: {
    type: "string",
    value: "NAME",
    help: "the metric whose groups are the benchmarks; every metric of every group where one side is better, when left out",
  },
  runs: { type: "number.integer >= 1", default: 10000, value: "N", help: "tournaments that are simulated" },
  eliminate: {
    type: "number.integer >= 0[]",
    default: [0, 1, 2],
    value: "N,...",
    help: "models of the fewest wins that leave after each round; a tournament for each",
  },
  round_order: {
    type: "'given' | 'random'",
    default: "given",
    help: "benchmarks come as the table has them, or in an order that each tournament draws",
  },
  pairing: {
    type: "'swiss' | 'random'",
    default: "swiss",
    help: "opponents have as many wins, or are any",
  },
} as const satisfies Options;
