/** Options of `train reservoir`. */
import type { Options } from "../../method/options.ts";

export const RESERVOIR = {
  data: {
    type: "string",
    required: true,
    help: "a series, as JSON lines of one step each: u, the numbers that go in, and y, those that are to come out",
    value: "FILE",
  },
  map: { type: "string", writes: "text", help: "write what comes out at every step, as JSON lines", value: "FILE" },
  held_share: { type: "0 < number < 1", default: 0.3, help: "last share of the steps, which is measured", value: "S" },
  washout: { type: "number.integer >= 0", default: 100, help: "first steps, of which nothing is learnt", value: "N" },
  units: { type: "1 <= number.integer <= 2000", default: 200, help: "units", value: "N" },
  density: { type: "0 < number <= 1", default: 0.1, help: "share of all connections that there are", value: "S" },
  gain: { type: "number > 0", default: 1, help: "of the connections, times 1 / sqrt(density units)", value: "G" },
  inhibition: {
    type: "number >= 0",
    default: 4,
    help: "strength of inhibition that every unit begins with (q); 4 balances a fifth of units against the rest",
    value: "Q",
  },
  input_scale: { type: "number >= 0", default: 0.5, help: "of the weights of inputs", value: "S" },
  leak: { type: "0 < number <= 1", default: 1, help: "share of a state that a step replaces (a)", value: "A" },
  homeostasis: {
    type: "number >= 0",
    default: 1e-3,
    help: "how fast inhibition follows a unit's rate (eta); 0: an ordinary reservoir",
    value: "ETA",
  },
  adapt_passes: {
    type: "number.integer >= 1",
    default: 10,
    help: "passes over the steps to learn from in which inhibition adapts, before the readout is fitted",
    value: "N",
  },
  rate: { type: "0 < number < 1", default: 0.2, help: "mean of the rates that units are brought to (rho)", value: "R" },
  rate_spread: {
    type: "number >= 0",
    default: 0,
    help: "deviation of the logarithm of those rates over units; 0: all alike",
    value: "S",
  },
  ridge: { type: "number > 0", default: 1e-6, help: "of the readout (lambda)", value: "LAMBDA" },
  memory: {
    type: "number.integer >= 0",
    default: 0,
    help: "longest delay for which it is told how well the first input is remembered; 0: none",
    value: "K",
  },
} as const satisfies Options;
