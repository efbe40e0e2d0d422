/**
 * A classifier of vectors: linear layers with an activation between them. With `problem_type` "regression" its
 * `num_labels` outputs are numbers. An architecture of our own, named like the others.
 */
import { gelu, relu } from "../../tensor/ops/activation.ts";
import type { Architecture, ParameterSpec } from "../architecture.ts";
import { type BatchNorm, batchNorm, batchNormed, batchNormJson, batchNormParameters } from "../blocks/batch-norm.ts";
import {
  type KeyValueHead,
  keyValueHead,
  keyValueJson,
  keyValueLogits,
  keyValueParameters,
} from "../blocks/key-value-head.ts";
import { ConfigReader } from "../config.ts";

export interface MlpConfig {
  readonly input: number;
  readonly hidden: readonly number[];
  readonly classes: number;
  readonly act: "relu" | "gelu";
  /** Before each activation. */
  readonly norm: BatchNorm | undefined;
  /** In place of the linear head. */
  readonly keyValue: KeyValueHead | undefined;
  readonly problem: "single_label_classification" | "regression";
}

export const method: Architecture<MlpConfig> = {
  name: "mlp",
  title: "Multilayer perceptron",
  about: "classifier of vectors: linear layers with an activation between them",
  cite: "ingot",
  options: {},
  task: "classifier",
  regresses: ({ problem }) => problem === "regression",

  config(json, where) {
    const c = new ConfigReader(json, where);
    return {
      input: c.count("input_size"),
      hidden: c.counts("hidden_sizes", [128]),
      classes: c.count("num_labels"),
      act: c.oneOf("hidden_act", ["relu", "gelu"], "relu"),
      norm: batchNorm(c),
      keyValue: keyValueHead(c),
      problem: c.oneOf("problem_type", ["single_label_classification", "regression"], "single_label_classification"),
    };
  },

  implied: (c) => ({
    input_size: c.input,
    hidden_sizes: c.hidden,
    num_labels: c.classes,
    hidden_act: c.act,
    ...batchNormJson(c.norm),
    ...keyValueJson(c.keyValue),
    problem_type: c.problem,
  }),

  sizes: (c) => ({
    layers: c.hidden.length,
    width: c.hidden.at(-1) ?? c.input,
    outputs: c.classes,
    maxPositions: 0,
    example: [c.input],
  }),

  parameters(c) {
    const linear = (module: string, into: number, out: number): ParameterSpec[] => [
      // He et al. 2015: keeps the variance through rectifiers.
      { name: `${module}.weight`, shape: [out, into], init: { std: Math.sqrt(2 / into) }, linear: true },
      { name: `${module}.bias`, shape: [out], init: "zeros" },
    ];
    const sizes = [c.input, ...c.hidden];
    const width = sizes.at(-1)!;
    return [
      ...c.hidden.flatMap((out, i) => [
        ...linear(`layers.${i}`, sizes[i]!, out),
        ...(c.norm ? batchNormParameters(c.norm, `norms.${i}`, out) : []),
      ]),
      ...(c.keyValue ? keyValueParameters(c.keyValue, width, c.classes) : linear("classifier", width, c.classes)),
    ];
  },

  forward(net, c, inputs) {
    if ("ids" in inputs) throw new TypeError("a classifier takes x, not token ids");
    let x = net.note("hidden.0", net.rec.reshape(inputs.x, [inputs.batch, c.input])); // (B, D)
    for (const i of c.hidden.keys()) {
      const own = net.linear(x, `layers.${i}`);
      const h = c.norm ? batchNormed(net, c.norm, `norms.${i}`, own, inputs) : own;
      x = net.note(`hidden.${i + 1}`, c.act === "relu" ? relu(net.rec, h) : gelu(net.rec, h));
    }
    return x;
  },

  // (B, classes)
  head: (net, { keyValue }, hidden) =>
    keyValue ? keyValueLogits(net, keyValue, hidden) : net.linear(hidden, "classifier"),
};
