/**
 * A classifier of vectors whose hidden layers feed back on each other: what the head reads is where they come to rest.
 *
 *   u_l <- sigmoid(W_l u_{l-1} + V_l u_{l+1} + b_l),  layer after layer, `relaxation_steps` times
 *
 * V_l is the transpose of W_{l+1} with `tied_feedback`, as in Hopfield networks, else a weight of its own. Scellier and
 * Bengio 2017, https://arxiv.org/abs/1602.05179. An architecture of our own, named like the others.
 */
import { sigmoid } from "../../tensor/ops/elementwise.ts";
import { linear } from "../../tensor/ops/linear.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Architecture, Net, ParameterSpec } from "../architecture.ts";
import { ConfigReader } from "../config.ts";

export interface EquilibriumConfig {
  readonly input: number;
  readonly hidden: readonly number[];
  readonly classes: number;
  readonly steps: number;
  readonly isTied: boolean;
}

/** What layer `i` hears from the one above it, added to `heard`, (B, width). */
const fromAbove = (net: Net, { isTied }: EquilibriumConfig, i: number, above: Tensor, heard: Tensor): Tensor =>
  isTied
    ? linear(net.rec, above, net.weight(`layers.${i + 1}.weight`), { transposed: true, add: heard })
    : net.linear(above, `feedback.${i}`, { add: heard });

export const method: Architecture<EquilibriumConfig> = {
  name: "equilibrium",
  title: "Equilibrium network",
  about: "classifier of vectors whose hidden layers feed back on each other until they rest",
  cite: "arXiv:1602.05179",
  options: {},
  task: "classifier",

  config(json, where) {
    const c = new ConfigReader(json, where);
    return {
      input: c.count("input_size"),
      hidden: c.counts("hidden_sizes", [64, 64]),
      classes: c.count("num_labels"),
      steps: c.count("relaxation_steps", 30),
      isTied: c.flag("tied_feedback", true),
    };
  },

  implied: (c) => ({
    input_size: c.input,
    hidden_sizes: c.hidden,
    num_labels: c.classes,
    relaxation_steps: c.steps,
    tied_feedback: c.isTied,
  }),

  sizes: (c) => ({
    layers: c.hidden.length,
    width: c.hidden.at(-1) ?? c.input,
    outputs: c.classes,
    maxPositions: 0,
    example: [c.input],
  }),

  parameters(c) {
    const weight = (module: string, into: number, out: number, linear = true): ParameterSpec => ({
      name: `${module}.weight`,
      shape: [out, into],
      init: { std: 1 / Math.sqrt(into) },
      linear,
    });
    const linear = (module: string, into: number, out: number, isOneWay = true): ParameterSpec[] => [
      weight(module, into, out, isOneWay),
      { name: `${module}.bias`, shape: [out], init: "zeros" },
    ];
    const sizes = [c.input, ...c.hidden];
    return [
      // What is read in both directions is no linear layer that an adapter may change in one.
      ...c.hidden.flatMap((out, i) => linear(`layers.${i}`, sizes[i]!, out, i === 0 || !c.isTied)),
      ...(c.isTied ? [] : c.hidden.slice(1).map((above, i) => weight(`feedback.${i}`, above, c.hidden[i]!))),
      ...linear("classifier", sizes.at(-1)!, c.classes),
    ];
  },

  forward(net, c, inputs) {
    if ("ids" in inputs) throw new TypeError("a classifier takes x, not token ids");
    const x = net.note("hidden.0", net.rec.reshape(inputs.x, [inputs.batch, c.input])); // (B, D)
    const driven = c.hidden.length > 0 ? net.linear(x, "layers.0") : x; // x does not change
    const states: Tensor[] = [];
    for (let step = 0; step < c.steps; step++)
      for (const i of c.hidden.keys()) {
        const heard = i === 0 ? driven : net.linear(states[i - 1]!, `layers.${i}`);
        const above = states[i + 1];
        states[i] = sigmoid(net.rec, above ? fromAbove(net, c, i, above, heard) : heard);
      }
    for (const [i, state] of states.entries()) states[i] = net.note(`hidden.${i + 1}`, state);
    return states.at(-1) ?? x;
  },

  // (B, classes)
  head: (net, _, hidden) => net.linear(hidden, "classifier"),
};
