/**
 * Small classifiers of vectors side by side, and a router that says which of them answers a row. An architecture of our
 * own, for streams that drift: Aspis et al., "DriftMoE", 2025, https://arxiv.org/abs/2507.18464, whose experts are
 * Hoeffding trees. `train --loss correctness` teaches the router which experts are right; the cross-entropy of the
 * answer alone teaches it nothing.
 */
import { gelu, relu } from "../../tensor/ops/activation.ts";
import { joinColumns, splitColumns } from "../../tensor/ops/columns.ts";
import { dropout } from "../../tensor/ops/dropout.ts";
import { add, mul } from "../../tensor/ops/elementwise.ts";
import { chosenExperts } from "../../tensor/ops/router.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Architecture, Net, ParameterSpec } from "../architecture.ts";
import { ConfigReader } from "../config.ts";

interface MlpExpertsConfig {
  readonly input: number;
  readonly hidden: readonly number[];
  readonly classes: number;
  readonly act: "relu" | "gelu";
  readonly experts: number;
  readonly router: readonly number[];
  /** Of the router's hidden layers, in training. */
  readonly dropout: number;
}

/** Linear layers by module, with their widths. */
const layersOf = (c: MlpExpertsConfig, kind: "expert" | "router") => {
  const widths = [c.input, ...(kind === "expert" ? c.hidden : c.router), kind === "expert" ? c.classes : c.experts];
  return widths.slice(1).map((out, i) => ({ into: widths[i]!, out, isLast: i === widths.length - 2 }));
};

function through(
  net: Net,
  c: MlpExpertsConfig,
  kind: "expert" | "router",
  module: string,
  x: Tensor,
  drop = 0,
): Tensor {
  let h = x;
  for (const [i, { isLast }] of layersOf(c, kind).entries()) {
    h = net.linear(h, `${module}.layers.${i}`);
    if (isLast) break;
    h = kind === "expert" && c.act === "gelu" ? gelu(net.rec, h) : relu(net.rec, h);
    h = dropout(net.rec, h, { p: drop, key: `${module}.${i}` });
  }
  return h;
}

export const method: Architecture<MlpExpertsConfig> = {
  name: "mlp-experts",
  title: "Mixture of multilayer perceptrons",
  about: "small classifiers of vectors, of which a router chooses one for each row",
  cite: "arXiv:2507.18464",
  options: {},
  task: "classifier",

  config(json, where) {
    const c = new ConfigReader(json, where);
    return {
      input: c.count("input_size"),
      hidden: c.counts("hidden_sizes", [16]),
      classes: c.count("num_labels"),
      act: c.oneOf("hidden_act", ["relu", "gelu"], "relu"),
      experts: c.count("num_experts", 12),
      router: c.counts("router_sizes", [256, 128]),
      dropout: c.number("router_drop", 0.2, { least: 0, below: 1 }),
    };
  },

  implied: (c) => ({
    input_size: c.input,
    hidden_sizes: c.hidden,
    num_labels: c.classes,
    hidden_act: c.act,
    num_experts: c.experts,
    router_sizes: c.router,
    router_drop: c.dropout,
  }),

  sizes: (c) => ({
    layers: c.hidden.length,
    width: c.classes,
    outputs: c.classes,
    maxPositions: 0,
    example: [c.input],
  }),

  parameters(c) {
    const linear = (module: string, kind: "expert" | "router"): ParameterSpec[] =>
      layersOf(c, kind).flatMap(({ into, out }, i) => [
        {
          ...{ name: `${module}.layers.${i}.weight`, shape: [out, into], init: { std: Math.sqrt(2 / into) } },
          ...{ linear: true, ...(kind === "router" ? { routes: true } : {}) },
        },
        { name: `${module}.layers.${i}.bias`, shape: [out], init: "zeros" },
      ]);
    const experts = Array.from({ length: c.experts }, (_, e) => linear(`experts.${e}`, "expert"));
    return [...experts.flat(), ...linear("router", "router")];
  },

  forward(net, c, inputs) {
    if ("ids" in inputs) throw new TypeError("a classifier takes x, not token ids");
    const { rec } = net;
    const x = rec.reshape(inputs.x, [inputs.batch, c.input]); // (B, D)
    const answers = Array.from({ length: c.experts }, (_, e) => through(net, c, "expert", `experts.${e}`, x));
    net.note("experts", joinColumns(rec, answers)); // (B, E classes)
    const routed = net.note("router", through(net, c, "router", "router", x)); // (B, E)
    if (rec.training) net.note("router.dropped", through(net, c, "router", "router", x, c.dropout));
    const ones = rec.constant(new Float32Array(inputs.batch).fill(1), [inputs.batch, 1], "ones");
    const chosen = splitColumns(rec, chosenExperts(rec, routed, 1, ones), Array(c.experts).fill(1)); // (B, 1) each
    return answers.map((answer, e) => mul(rec, answer, chosen[e]!)).reduce((a, b) => add(rec, a, b));
  },

  head: (_, __, hidden) => hidden, // (B, classes)
};
